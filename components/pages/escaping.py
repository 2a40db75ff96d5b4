"""What all pages share: no script may run in them, and texts of the data are never markup."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hemix.components.pages.formats import FILTERS
from hemix.components.pages.theme import COLOURS, DARK, FONT, variables

TEMPLATES = Path(__file__).with_name("templates")

POLICY = (
    '<meta HTTP-EQUIV="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">"
)
"""Nothing is fetched, no script runs: not even one that got past the escaping."""

_SPECIAL = "<>&\"'`${}\\\n\r"
_PRIVATE = 0xF0000
"""Code points for private use, which no text should hold, from here on stand for ``_SPECIAL``."""
_HIDDEN = {ord(mark): chr(_PRIVATE + number) for number, mark in enumerate(_SPECIAL)}
_FOREIGN = {ord(hidden): "\ufffd" for hidden in _HIDDEN.values()}
# As they are, as Python's repr writes them, and as JSON does.
_FORMS = re.compile(
    rf"[\U{_PRIVATE:08x}-\U{_PRIVATE + 31:08x}]|\\U000f00([01][0-9a-f])|\\udb80\\udc([01][0-9a-f])"
)


def environment(templates: Path, filters: Mapping[str, Any] | None = None) -> Any:
    """A jinja environment over ``templates`` and those of all pages; every value is escaped.

    Args:
        templates: folder of the page's own templates.
        filters: its own filters, beside :mod:`hemix.components.pages.formats`.
    """
    import jinja2
    from markupsafe import Markup

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update({**FILTERS, **(filters or {})})
    made.globals["content_policy"] = Markup(POLICY)
    made.globals["style"] = Markup(_style())
    return made


def _style() -> str:
    return (
        (TEMPLATES / "style.css")
        .read_text()
        .replace("/* light */", variables(COLOURS))
        .replace("/* dark */", variables(DARK))
        .replace("/* font */", FONT)
    )


def hide(value: Any) -> Any:
    """``value`` with every mark that HTML or a template knows replaced by one that none knows.

    For renderers that do not escape: what they make of it is given to :func:`show`. Texts inside
    dictionaries (keys too), lists, tuples and sets are hidden as well; all else stays.
    """
    if isinstance(value, str):
        return value.translate(_FOREIGN).translate(_HIDDEN)
    if isinstance(value, dict):
        return {hide(key): hide(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(hide(entry) for entry in value)
    return value


def show(page: str) -> str:
    """Put the marks that :func:`hide` took out back in, as HTML text."""

    def mark(found: re.Match[str]) -> str:
        digits = found[1] or found[2]
        number = int(digits, 16) if digits else ord(found[0]) - _PRIVATE
        return html.escape(_SPECIAL[number]) if number < len(_SPECIAL) else found[0]

    return _FORMS.sub(mark, page)
