"""What object stores and their libraries raise, as errors that name the place and the mend."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from hemix.errors import DataError, HemixError, StorageError

_KEYS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a public bucket is read with "
    "any keys that are valid."
)


@contextlib.contextmanager
def asking(where: str, address: str) -> Iterator[None]:
    """Around calls of a file system: whatever its library raises names ``where`` and ``address``.

    :class:`OSError` passes: what it means is for the caller to say.

    Raises:
        StorageError: no keys, no such profile, or the store does not answer.
        DataError: the address cannot be one.
    """
    try:
        yield
    except (HemixError, OSError):
        raise
    except Exception as error:
        if told := _told(error, where, address):
            raise told from error
        raise


def _told(error: Exception, where: str, address: str) -> HemixError | None:
    """None for what no library of a store raised; only loaded libraries can have raised anything."""
    place = f"{where}: {address}"
    text = (str(error).strip().splitlines() or [""])[0].rstrip(".")[:200]
    if botocore := sys.modules.get("botocore.exceptions"):
        if isinstance(error, (botocore.NoCredentialsError, botocore.PartialCredentialsError)):
            return StorageError(f"{place}: no keys for S3 are set.", hint=_KEYS)
        if isinstance(error, (botocore.ProfileNotFound, botocore.ConfigParseError)):
            return StorageError(f"{place}: {text}.", hint="Correct AWS_PROFILE or ~/.aws.")
        if isinstance(error, botocore.ParamValidationError):
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            problem = lines[-1].split(": Bucket name must")[0].rstrip(".")[:200]
            return DataError(f"{place}: {problem}.", hint="Correct root or the path.")
        if isinstance(error, (botocore.BotoCoreError, botocore.ClientError)):
            return _unreached(place, text, error)
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp and isinstance(error, aiohttp.ClientError):
        return _unreached(place, text, error)
    return None


def _unreached(place: str, text: str, error: Exception) -> StorageError:
    return StorageError(
        f"{place}: the store did not answer ({type(error).__name__}: {text}).",
        hint="Check the address, AWS_ENDPOINT_URL and the network.",
    )
