"""Values that stand in the names of folders, ``name=value``, as Hive, Spark and Arrow write them."""

from __future__ import annotations

from urllib.parse import unquote

from hemix.errors import DataError

MISSING = "__HIVE_DEFAULT_PARTITION__"


def partitions(path: str, where: str, url: str) -> dict[str, str | None]:
    """Names and values of the folders that a file lies in; the innermost of a name holds.

    Percent signs before two hexadecimal digits are decoded as UTF-8, what follows the first ``=``
    is the value, and Hive's default partition or nothing at all is a missing value.

    Raises:
        DataError: what a percent sign encodes is not UTF-8; names the folder.
    """
    found: dict[str, str | None] = {}
    for folder in path.split("/")[:-1]:
        written, equals, value = folder.partition("=")
        if not (written and equals):
            continue
        try:
            name, value = unquote(written, errors="strict"), unquote(value, errors="strict")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}: the folder {folder!r} of {url} encodes bytes that are not UTF-8.",
                hint="Rename it, a percent sign as %25.",
            ) from error
        found[name] = None if value in ("", MISSING) else value
    return found
