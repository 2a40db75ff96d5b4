"""What can go wrong between us and a cluster."""

from __future__ import annotations

from hemix.errors import HemixError


class ClusterError(HemixError):
    """The cluster cannot be reached, or refused: permission, namespace, missing kind, invalid."""

    exit_code = 15
    http_status = 502


class MissingKind(ClusterError):
    """The cluster does not know a kind: something is not installed there."""


class Forbidden(ClusterError):
    """The credentials lack a right."""

    http_status = 403


class FieldConflict(ClusterError):
    """A field that we would set belongs to another manager."""

    exit_code = 16
    http_status = 409


class DeploymentFailed(HemixError):
    """What was applied did not become ready; the state before it was put back."""

    exit_code = 17
    http_status = 504
