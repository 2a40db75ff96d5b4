"""Where a source's files are: local paths, folders, globs, ``s3://`` and ``gs://``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from hemix.errors import DataError, DefinitionError, EnvironmentProblem, StorageError
from hemix.features.declared_sources import TableSource
from hemix.features.definition import DatasetDefinition
from hemix.features.sources.csv.dialect import Dialect, plain_name
from hemix.features.sources.listing import local_files, stored_files
from hemix.features.sources.partitions import partitions
from hemix.features.sources.stores import asking

Format = Literal["parquet", "csv"]
_PARQUET = (".parquet", ".pq", ".parq")
_TEXT = (".csv", ".tsv", ".tab", ".txt")


_PLAIN = Dialect()


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a source.

    ``partitions`` are the ``name=value`` folders it lies in (None: missing); ``stamp`` changes when its content
    does (etag where the store has one, else the time of the last change).
    """

    filesystem: Any
    path: str
    url: str
    size: int
    stamp: str
    format: Format
    dialect: Dialect = _PLAIN
    partitions: dict[str, str | None] = field(default_factory=dict)

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
    return find_files_of(definition.root, source, where)


def find_files_of(root: str, source: TableSource, where: str) -> list[SourceFile]:
    """The same, of a source whose paths are relative to ``root``."""
    found: dict[str, SourceFile] = {}
    for path in source.paths:
        filesystem, names, address = _names(root, path, where)
        if not names:
            raise DataError(
                f"{where}.paths: no file matches {address}.",
                hint="Check the path or glob, and `root` (paths are relative to it).",
            )
        for name in names:
            file = _describe(filesystem, name, source, where)
            found[file.url] = file
    files = [found[url] for url in sorted(found)]
    if source.says_how_text_is_written and not any(file.format == "csv" for file in files):
        raise DefinitionError(
            f"{where}: says how CSV text is written, but all of its files are Parquet.",
            hint="Take separator, quote, escape, encoding, lines_in_quotes and header out.",
        )
    return files


def _names(root: str, path: str, where: str) -> tuple[Any, list[str], str]:
    """The file system, the files that ``path`` names, and the address as messages call it."""
    root, path = root.removeprefix("file://"), path.removeprefix("file://")
    expanded = os.path.expanduser(os.path.expandvars(path))
    address = ""
    for written in dict.fromkeys((path, expanded)):
        if "://" in written or os.path.isabs(written):
            base, rest = _anchor(written)
        else:
            base, rest = root, written
        address = base if not rest else f"{base.rstrip('/')}/{rest}"
        try:
            if "://" not in base:
                filesystem = _local()
                names = local_files(base, rest)
            else:
                with asking(f"{where}.paths", address):
                    filesystem, inner = _open_place(base, where)
                    names = stored_files(filesystem, inner, rest)
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except ValueError as error:
            raise DataError(f"{where}.paths: {path}: {error}.") from error
        except OSError as error:
            raise StorageError(f"{where}: cannot list {address}: {error}.") from error
        if names:
            break
    return filesystem, names, address


def _anchor(path: str) -> tuple[str, str]:
    """What of an absolute path or URL is no pattern, and what is relative to it."""
    scheme, mark, rest = path.rpartition("://")
    if not mark:
        return "/", path.lstrip("/")
    bucket, _, key = rest.partition("/")
    return f"{scheme}{mark}{bucket}", key


def _local() -> Any:
    from fsspec.implementations.local import LocalFileSystem

    return LocalFileSystem()


def _open_place(address: str, where: str) -> tuple[Any, str]:
    import fsspec

    if not address.split("://", 1)[1].strip("/"):
        raise DataError(
            f"{where}.paths: {address} names no bucket.", hint="Write s3://BUCKET/PREFIX."
        )
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


def _describe(filesystem: Any, name: str, source: TableSource, where: str) -> SourceFile:
    url = filesystem.unstrip_protocol(name)
    try:
        with asking(where, url):
            info = filesystem.info(name)
        if info.get("islink"):
            os.stat(name)
    except FileNotFoundError as error:
        raise DataError(
            f"{where}: {url} leads to a file that is not there.", hint="Mend or remove the link."
        ) from error
    except OSError as error:
        raise StorageError(f"{where}: cannot read {url}: {error}.") from error
    if info["type"] == "other" and not os.path.isfile(name):
        raise DataError(f"{where}: {url} is not a regular file.", hint="Take it out of the folder.")
    size = int(info.get("size") or 0)
    if size == 0:
        raise DataError(f"{where}: {url} is empty.", hint="Copy or export the file again.")
    stamp = next(
        (str(info[key]) for key in ("ETag", "etag", "mtime", "LastModified") if info.get(key)), ""
    )
    return SourceFile(
        filesystem=filesystem,
        path=name,
        url=url,
        size=size,
        stamp=stamp,
        format=_format(filesystem, name, source, where),
        dialect=Dialect.of(source, name),
        partitions=partitions(name, where, url),
    )


def _format(filesystem: Any, name: str, source: TableSource, where: str) -> Format:
    if source.format != "auto":
        return source.format
    plain = plain_name(name)
    if plain.endswith(_PARQUET):
        return "parquet"
    if plain.endswith(_TEXT):
        return "csv"
    try:
        with asking(where, name), filesystem.open(name, "rb") as handle:
            if handle.read(4) == b"PAR1":
                return "parquet"
    except OSError as error:
        raise StorageError(f"{where}: cannot read {name}: {error}.") from error
    raise DataError(f"{where}: {name} is neither .parquet nor .csv.", hint=f"Set {where}.format.")
