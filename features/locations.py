"""Where a source's files are: local paths, folders, globs, ``s3://`` and ``gs://``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from features.definition import DatasetDefinition, TableSource
from hemix.errors import DataError, EnvironmentProblem, StorageError

Format = Literal["parquet", "csv"]
_PARQUET = (".parquet", ".pq", ".parq")
_TEXT = (".csv", ".tsv", ".txt")
_PACKED = (".gz", ".bz2", ".zst")


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a source.

    ``partitions`` are the ``name=value`` folders it lies in; ``stamp`` changes when its content
    does (etag where the store has one, else the time of the last change).
    """

    filesystem: Any
    path: str
    url: str
    size: int
    stamp: str
    format: Format
    partitions: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


def sources(definition: DatasetDefinition) -> Iterator[tuple[str, TableSource]]:
    """Every source and its place in the definition, e.g. ``interactions[0]``."""
    for table in ("interactions", "behaviors", "users", "items"):
        for index, source in enumerate(getattr(definition, table)):
            yield f"{table}[{index}]", source


def find_files(definition: DatasetDefinition, source: TableSource, where: str) -> list[SourceFile]:
    """The files that ``source.paths`` name, sorted by address, each once.

    Raises:
        DataError: a path or glob names nothing, a file is empty or of unknown format.
        EnvironmentProblem: the address needs a package that is not installed.
        StorageError: the place could not be listed.
    """
    found: dict[str, SourceFile] = {}
    for path in source.paths:
        address = _address(definition.root, path)
        filesystem, inner = _open_place(address, where)
        try:
            names = _expand(filesystem, inner)
            infos = [(name, filesystem.info(name)) for name in names]
        except FileNotFoundError:
            infos = []
        except OSError as error:
            raise StorageError(f"{where}: cannot list {address}: {error}.") from error
        if not infos:
            raise DataError(
                f"{where}.paths: no file matches {address}.",
                hint="Check the path or glob, and `root` (paths are relative to it).",
            )
        for name, info in infos:
            file = _describe(filesystem, name, info, source, where)
            found[file.url] = file
    return [found[url] for url in sorted(found)]


def _address(root: str, path: str) -> str:
    path = os.path.expanduser(os.path.expandvars(path))
    if "://" in path or os.path.isabs(path):
        return path
    return f"{root.rstrip('/')}/{path}"


def _open_place(address: str, where: str) -> tuple[Any, str]:
    import fsspec

    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        if address.startswith(("gs://", "gcs://")):
            return _arrow_place(address)
        raise EnvironmentProblem(
            f"{where}.paths: {address} needs a package that is not installed: {error}."
        ) from error
    except ValueError as error:
        raise DataError(
            f"{where}.paths: {address}: {error}.", hint="Use a local path, s3:// or gs://."
        ) from error


def _arrow_place(address: str) -> tuple[Any, str]:
    """Google Cloud Storage through Arrow's own client, which every pyarrow wheel carries.

    ``gs://anonymous@bucket/...`` reads a public bucket; ``STORAGE_EMULATOR_HOST`` is honoured.
    """
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import fs

    path = address.split("://", 1)[1]
    public = path.startswith("anonymous@")
    options: dict[str, Any] = {"retry_time_limit": timedelta(minutes=1), "anonymous": public}
    if emulator := os.environ.get("STORAGE_EMULATOR_HOST"):
        scheme, _, host = emulator.rpartition("://")
        options |= {
            "anonymous": True,
            "scheme": scheme or "http",
            "endpoint_override": host.rstrip("/"),
        }
    return ArrowFSWrapper(fs.GcsFileSystem(**options)), path.removeprefix("anonymous@")


def _expand(filesystem: Any, path: str) -> list[str]:
    """Files of a file, folder or glob; hidden files and ``_SUCCESS`` marks are not data."""
    names = [path]
    if any(mark in path for mark in "*?["):
        names = [name for name in filesystem.glob(path) if not _is_hidden(name.rsplit("/", 1)[-1])]
    files: list[str] = []
    for name in names:
        if filesystem.isdir(name):
            base = name.rstrip("/")
            inner = (found[len(base) :] for found in filesystem.find(base))
            files += [base + rest for rest in inner if not _is_hidden(rest)]
        else:
            files.append(name)
    return files


def _is_hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in relative.split("/") if part)


def _describe(
    filesystem: Any, name: str, info: dict[str, Any], source: TableSource, where: str
) -> SourceFile:
    size = int(info.get("size") or 0)
    url = filesystem.unstrip_protocol(name)
    if size == 0:
        raise DataError(f"{where}: {url} is empty.", hint="Copy or export the file again.")
    stamp = next(
        (str(info[key]) for key in ("ETag", "etag", "mtime", "LastModified") if info.get(key)), ""
    )
    partitions = dict(part.split("=", 1) for part in name.split("/")[:-1] if part.count("=") == 1)
    return SourceFile(
        filesystem=filesystem,
        path=name,
        url=url,
        size=size,
        stamp=stamp,
        format=_format(filesystem, name, source, where),
        partitions=partitions,
    )


def _format(filesystem: Any, name: str, source: TableSource, where: str) -> Format:
    if source.format != "auto":
        return source.format
    plain = name.lower()
    for packed in _PACKED:
        plain = plain.removesuffix(packed)
    if plain.endswith(_PARQUET):
        return "parquet"
    if plain.endswith(_TEXT):
        return "csv"
    try:
        with filesystem.open(name, "rb") as handle:
            if handle.read(4) == b"PAR1":
                return "parquet"
    except OSError as error:
        raise StorageError(f"{where}: cannot read {name}: {error}.") from error
    raise DataError(f"{where}: {name} is neither .parquet nor .csv.", hint=f"Set {where}.format.")
