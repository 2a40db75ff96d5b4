"""One family of errors: each knows its exit code, its HTTP status and what to do next."""

from __future__ import annotations

from typing import ClassVar

HINT_NOTE = "hint: "
"""What a traceback's line with an error's hint begins with."""


class HemixError(Exception):
    """Base of every failure a user can cause or mend.

    Args:
        message: what is wrong; names the field, file or key.
        hint: what to do next, one sentence.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:  # where only a traceback's text comes back, it still says which words are the hint
            self.add_note(f"{HINT_NOTE}{hint}")

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class DefinitionError(HemixError):
    """A data set definition, recipe or policy that cannot be used as written."""

    exit_code = 2
    http_status = 400


class DataError(HemixError):
    """Input data that does not hold what the definition promises."""

    exit_code = 3
    http_status = 400


class GateFailed(HemixError):
    """A gate's verdict stopped the run; nothing live was changed."""

    exit_code = 4
    http_status = 409


class ModelVersionError(HemixError):
    """A model version that is missing, incomplete or not what its manifest says."""

    exit_code = 5
    http_status = 503


class RegistryError(HemixError):
    """A move of a model version that the registry's state does not allow."""

    exit_code = 6
    http_status = 409


class FeatureStoreError(HemixError):
    """The feature store did not answer, or not in time."""

    exit_code = 7
    http_status = 503


class RequestError(HemixError):
    """A ranking request that breaks the contract."""

    exit_code = 8
    http_status = 400


class StorageError(HemixError):
    """A file that could not be read or written (disk full, permission, truncated)."""

    exit_code = 9
    http_status = 507


class EnvironmentProblem(HemixError):
    """The machine lacks something: a port, a program, a service."""

    exit_code = 10
    http_status = 503


class Unforeseen(HemixError):
    """Something that broke in a way nobody foresaw; the message is its kind and first line."""
