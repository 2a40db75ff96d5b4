"""What a CSV header that lacks a column seems to be: the likely mend, for a message."""

from __future__ import annotations

import re
from collections.abc import Collection

from hemix.features.sources.csv.dialect import Dialect

_SEPARATORS = {",": '","', ";": '";"', "\t": "tab", "|": '"|"', "\x01": r'"\x01"', " ": "space"}
_DATA = re.compile(r"^-?\d[\d.,:TZ +-]*$|^$")


def header_hint(names: list[str], needed: Collection[str], dialect: Dialect, where: str) -> str:
    """One sentence on why ``needed`` are not all among ``names``, or an empty one."""
    if re.fullmatch(r'"?sep=.?"?', names[0]):
        return f"The first line {names[0]!r} is a spreadsheet's mark: take it out of the file."
    if len(names) == 1:
        for sign, written in _SEPARATORS.items():
            parts = {part.strip("\"' ") for part in names[0].split(sign)}
            if sign != dialect.separator and len(parts) > 1 and parts & set(needed):
                return f"The header seems to be separated by {written}: set {where}.separator."
    quoted = next((n for n in names if len(n) > 1 and n[0] == n[-1] and n[0] in "\"'`"), None)
    if quoted and quoted[1:-1] in needed:
        return f"Names stand between {quoted[0]} signs: set {where}.quote to that sign."
    missing = [name for name in needed if name not in names]
    for name in missing:
        for found in names:
            if found != name and found.strip().casefold() == name.strip().casefold():
                return f"Write {found!r} for {name!r}: case and spaces count."
    if len(missing) == len(needed) and any(_DATA.match(name) for name in names):
        return f"The first line looks like a row, not like a header: name the columns in {where}.header."
    return ""
