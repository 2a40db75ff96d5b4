"""What can go wrong between this machine and a Kubeflow Pipelines API server."""

from __future__ import annotations

from hemix.errors import HemixError


class AccessDenied(HemixError):
    """The server refused the token: missing, expired, or without the right."""

    exit_code = 11
    http_status = 401


class PipelineApiError(HemixError):
    """The server answered that it cannot: no such thing, a conflict, a value it refuses."""

    exit_code = 12
    http_status = 502


class RunFailed(HemixError):
    """A run on the cluster ended without success."""

    exit_code = 1
    http_status = 500


class RunCanceled(HemixError):
    """Somebody stopped the run on the cluster."""

    exit_code = 13
    http_status = 409


class StillRunning(HemixError):
    """The time to wait is over; the run itself goes on."""

    exit_code = 14
    http_status = 504
