"""By which rules one CSV file is read: what its source says, and what its name adds."""

from __future__ import annotations

from dataclasses import dataclass

from hemix.features.text_rules import AUTO, NONE, TextRules

_TABBED = (".tsv", ".tab")
PACKED = (".gz", ".bz2", ".zst", ".xz")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The rules by which one file is read; ``quote`` and ``escape`` are empty for none."""

    separator: str = ","
    quote: str = '"'
    escape: str = ""
    encoding: str = AUTO
    lines_in_quotes: int | None = None
    header: tuple[str, ...] = ()

    @staticmethod
    def of(rules: TextRules, file_name: str) -> Dialect:
        """What ``rules`` mean for a file of this name."""
        separator = rules.separator
        if separator == AUTO:
            separator = "\t" if plain_name(file_name).endswith(_TABBED) else ","
        return Dialect(
            separator=separator,
            quote="" if rules.quote == NONE else rules.quote,
            escape="" if rules.escape == NONE else rules.escape,
            encoding=rules.encoding,
            lines_in_quotes=rules.lines_in_quotes,
            header=rules.header,
        )


def plain_name(file_name: str) -> str:
    """``views.tsv`` of ``Views.TSV.gz``."""
    name = file_name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return name
