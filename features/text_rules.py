"""How the text of CSV files is written: the keys of a definition's source that say so."""

from __future__ import annotations

import codecs
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from hemix.texts.frozen import Frozen

NONE = "none"
AUTO = "auto"
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " "}


def _sign(value: str) -> str:
    """One ASCII character, which is what the parser takes."""
    value = _SEPARATORS.get(value, value)
    if value in (AUTO, NONE):
        return value
    if len(value) != 1 or not value.isascii() or value in "\r\n\0" or value.isalnum():
        raise ValueError(
            f"{value!r} is not one ASCII character that is no letter, digit or line end"
        )
    return value


def _encoding(value: str) -> str:
    if value == AUTO:
        return value
    try:
        found = codecs.lookup(value)
        "a".encode(found.name)
    except (LookupError, UnicodeError) as error:
        raise ValueError(
            f"{value!r} is not a text encoding; such as utf-8, utf-16, cp1252"
        ) from error
    return found.name


Sign = Annotated[str, AfterValidator(_sign)]


def _said(default: object, **more: Any) -> Any:
    """A key that is left out of digests where it has its default."""
    return Field(default=default, exclude_if=lambda value: value == default, **more)


class TextRules(Frozen):
    """Keys of a source that say how its CSV files are written; they hold for every file of it."""

    separator: Sign = _said(
        AUTO,
        description="Character between values: one ASCII character, `tab` or `space`. "
        "`auto`: tab in .tsv and .tab files, comma in all others.",
    )
    quote: Sign = _said(
        '"',
        description="Character around values that may hold separators, quotes (doubled) and line "
        "ends; `none`: quotes are part of the text.",
    )
    escape: Sign = _said(
        NONE,
        description="Character before a separator, quote or line end that is part of a value, "
        "such as a backslash; `none`: there is none.",
    )
    encoding: Annotated[str, AfterValidator(_encoding)] = _said(
        AUTO,
        description="Encoding of the text, by Python's names. `auto`: what the byte order mark "
        "says, else UTF-8.",
    )
    lines_in_quotes: int | None = _said(
        None,
        ge=1,
        description="Lines that one quoted value may span. Left out: any number, unless a line "
        "after the first could be a row of its own; then the file is refused.",
    )
    header: tuple[str, ...] = _said(
        (), description="Names of the columns, in order, of files without a header line."
    )

    @model_validator(mode="after")
    def _differ(self) -> TextRules:
        separators = [",", "\t"] if self.separator == AUTO else [self.separator]
        signs = [s for s in (*separators, self.quote, self.escape) if s not in (AUTO, NONE)]
        if len(set(signs)) != len(signs):
            raise ValueError("separator, quote and escape must be different characters")
        if self.separator == NONE or AUTO in (self.quote, self.escape):
            raise ValueError("separator cannot be `none`; quote and escape cannot be `auto`")
        if len(set(self.header)) != len(self.header):
            raise ValueError("header: a name is given twice")
        return self

    @property
    def says_how_text_is_written(self) -> bool:
        """True when any of these keys differs from its default."""
        return any(
            getattr(self, name) != field.default for name, field in TextRules.model_fields.items()
        )
