"""S3 by boto3: the few calls that :mod:`hemix.storage` needs, bounded in time, errors named."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hemix.errors import EnvironmentProblem, StorageError
from hemix.limits import limit_of

ABSENT = ""
"""As ``if_match``: write only when there is no such file yet."""
ATTEMPTS = 4
CONNECT_S, READ_S = 5, 60
"""A call that gets no connection ends after about ``ATTEMPTS * CONNECT_S`` seconds and the pauses."""
_DENIED = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_CHANGED = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_MISSING = {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}
_NOT_THERE = {"NotImplemented", "MethodNotAllowed", "501", "405"}
"""What stores say of a call that they do not have."""
_FULL = {
    "507",
    "InsufficientCapacity",
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
"""What stores say that have no room left, or none for this user."""


class Conflict(StorageError):
    """A file was not what the writer had read: another one was faster."""

    def __init__(self, location: str) -> None:
        super().__init__(
            f"{location}: another writer changed it at the same time.", hint="Run it again."
        )


@dataclass(frozen=True)
class Stored:
    """A file's bytes and the tag that its next writer gives as ``if_match``."""

    data: bytes
    etag: str


def check(location: str) -> None:
    """StorageError unless ``location`` has a bucket and a key."""
    _split(location)


def fetch(location: str) -> Stored | None:
    """A file and its tag; None when there is none."""
    bucket, key = _split(location)
    try:
        with _errors(location):
            answer = _client().get_object(Bucket=bucket, Key=key)
            return Stored(answer["Body"].read(), answer["ETag"])
    except _Missing:
        return None


def write(location: str, data: bytes, if_match: str | None) -> str:
    """Write a file; on condition when ``if_match`` is given. Returns its tag."""
    bucket, key = _split(location)
    condition: dict[str, str] = {}
    if if_match is not None:
        condition = {"IfNoneMatch": "*"} if if_match == ABSENT else {"IfMatch": if_match}
    with _errors(location, conditional=if_match is not None):
        answer = _client().put_object(Bucket=bucket, Key=key, Body=data, **condition)
        return str(answer["ETag"])


@dataclass(frozen=True)
class Listed:
    """A file below a folder: its name there, its bytes, and when it was written last."""

    name: str
    size: int
    modified: datetime


def listed(location: str) -> list[Listed]:
    """The files below a prefix, by name; all pages were read, or it raises."""
    bucket, key = _split(location, key_needed=False)
    prefix = f"{key}/" if key else ""
    with _errors(location):
        pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [
            Listed(item["Key"][len(prefix) :], item["Size"], item["LastModified"])
            for page in pages
            for item in page.get("Contents", ())
        ]
    kept = [one for one in found if one.name and not one.name.endswith("/")]
    return sorted(kept, key=lambda one: one.name)


def names(location: str) -> list[str]:
    """Names below a prefix, relative to it, sorted."""
    return [one.name for one in listed(location)]


def delete(locations: list[str]) -> None:
    """Remove files one by one; those that are not there do not matter."""
    for location in locations:
        bucket, key = _split(location)
        with contextlib.suppress(_Missing), _errors(location):
            _client().delete_object(Bucket=bucket, Key=key)


def put_file(path: Path, location: str) -> None:
    """Upload a file; a large one in parts."""
    bucket, key = _split(location)
    with _errors(location):
        _client().upload_file(str(path), bucket, key, Config=_transfer())


def sweep(location: str, *, older_s: float = 86_400.0) -> list[str]:
    """End uploads in parts below a prefix that began ``older_s`` ago; their keys, relative to it.

    A killed process leaves such parts, which no listing shows and which are paid for. A store that
    has no such list, or does not show it to us, is left as it is: a lifecycle rule of the bucket can
    do the same (AbortIncompleteMultipartUpload).
    """
    from botocore.exceptions import ClientError

    bucket, key = _split(location, key_needed=False)
    prefix = f"{key}/" if key else ""
    before = datetime.now(UTC) - timedelta(seconds=older_s)
    ended = []
    with _errors(location):
        pages = _client().get_paginator("list_multipart_uploads")
        try:
            found = [
                upload
                for page in pages.paginate(Bucket=bucket, Prefix=prefix)
                for upload in page.get("Uploads", ())
                if upload["Initiated"] < before
            ]
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in (*_DENIED, *_NOT_THERE):
                return []
            raise
        for upload in found:
            with contextlib.suppress(_Missing), _errors(location):
                _client().abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
                ended.append(upload["Key"][len(prefix) :])
    return ended


def get_file(location: str, path: Path) -> None:
    """Download a file to ``path``; a large one in parts."""
    bucket, key = _split(location)
    with _errors(location):
        _client().download_file(bucket, key, str(path), Config=_transfer())


# ---- inside -------------------------------------------------------------------------------------


def _split(location: str, *, key_needed: bool = True) -> tuple[str, str]:
    scheme, _, rest = location.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3":
        raise StorageError(
            f"{location}: {scheme}:// is not a place that hemix writes to.",
            hint="Write s3://bucket/prefix, or a local folder.",
        )
    if not bucket or (key_needed and not key):
        raise StorageError(
            f"{location}: a bucket and a prefix are needed.", hint="Write s3://bucket/prefix."
        )
    return bucket, key.strip("/")


def _client() -> Any:
    """One client a process and setting; made anew when the environment changed (and after fork)."""
    environment = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith("AWS_")))
    return _made(os.getpid(), environment)


@functools.lru_cache(maxsize=4)
def _made(process: int, environment: tuple[tuple[str, str], ...]) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise EnvironmentProblem(
            "s3:// needs a package that is not installed: boto3.", hint="pip install boto3"
        ) from error
    settings = dict(environment)
    region = settings.get("AWS_REGION") or settings.get("AWS_DEFAULT_REGION")
    own = settings.get("AWS_ENDPOINT_URL_S3") or settings.get("AWS_ENDPOINT_URL")
    session = boto3.session.Session()
    return session.client(
        "s3",
        region_name=region or session.region_name or "us-east-1",
        config=Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            max_pool_connections=16,
            # Stores other than AWS: a bucket is rarely a host name, and new checksums are not known.
            s3={"addressing_style": "path"} if own else {},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(max_concurrency=4, multipart_threshold=64 << 20, num_download_attempts=3)


class _Missing(StorageError):
    """There is no such file."""


@contextlib.contextmanager
def _errors(location: str, *, conditional: bool = False) -> Iterator[None]:
    """Name what S3 raises."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refused(error, location, conditional=conditional) from error
    except Boto3Error as error:  # a transfer; the refusal is inside
        inner = error.__cause__ or error.__context__
        if isinstance(inner, ClientError):
            raise _refused(inner, location) from error
        raise _unreached(error, location) from error
    except BotoCoreError as error:
        raise _unreached(error, location) from error
    except OSError as error:
        limit = limit_of(error)
        hint = limit.hint if limit else "Check the local disk."
        raise StorageError(f"{location}: {error}.", hint=hint) from error


def _refused(error: Any, location: str, *, conditional: bool = False) -> StorageError:
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), answer.get("Message", "")
    if conditional and (code in _CHANGED or code in _MISSING):
        return Conflict(location)
    if code == "NoSuchBucket":
        bucket, _ = _split(location, key_needed=False)
        return StorageError(
            f"{location}: there is no bucket {bucket!r} at {_endpoint()}.",
            hint="Create it, or correct the address or AWS_ENDPOINT_URL.",
        )
    if code in _MISSING:
        return _Missing(f"{location}: there is no such file.", hint="Check the address.")
    if code in _DENIED:
        return StorageError(
            f"{location}: {_endpoint()} refused access ({code}).",
            hint="Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the key's rights on the bucket.",
        )
    if code in _FULL:
        return StorageError(
            f"{location}: {_endpoint()} has no room left ({code}: {message}).",
            hint="Free some space there or raise the quota, and run again; what was written before "
            "is whole.",
        )
    return StorageError(
        f"{location}: {_endpoint()} answered {code}: {message}.",
        hint="Try again later; what was written before is whole.",
    )


def _unreached(error: Exception, location: str) -> StorageError:
    from botocore.exceptions import NoCredentialsError, PartialCredentialsError

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageError(
            f"{location}: no keys for S3 are set.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    return StorageError(
        f"{location}: {_endpoint()} did not answer ({type(error).__name__}).",
        hint="Check AWS_ENDPOINT_URL and the network.",
    )


def _endpoint() -> str:
    return str(_client().meta.endpoint_url)
