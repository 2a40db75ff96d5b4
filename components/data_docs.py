"""Great Expectations Data Docs as a folder of plain pages that need no network and no script.

GX renders each validation; its pages load styles and scripts from elsewhere, so these are taken
out and a small style sheet is put in. GX escapes some values and not others, so every text of the
validation is hidden from it (:func:`hemix.components.pages.escaping.hide`) and escaped at the end.
"""

from __future__ import annotations

import copy
import html
import re
from pathlib import Path
from typing import Any

from hemix.components.pages.escaping import POLICY, hide, show
from hemix.files import atomic_folder

_ELSEWHERE = (
    r"<script\b.*?</script>",
    r"<style\b.*?</style>",
    r"<link\b[^>]*>",
    r"<footer\b.*?</footer>",
    r"<img\b[^>]*https?://[^>]*>",
    r'\son\w+="[^"]*"',
)
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2430; }
h1, h2, h3, h4, h5 { line-height: 1.2; } a { color: #0b5cad; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1.4rem; }
th, td { border-bottom: 1px solid #dfe4ea; padding: .35rem .6rem; text-align: left; vertical-align: top; }
nav, .navbar, .sticky, .modal, #ge-cta-footer, .cooltip .top, button { display: none !important; }
.fa-check-circle::before { content: "\\2713"; color: #18794e; font-style: normal; font-weight: 700; }
.fa-times::before { content: "\\2717"; color: #c0262d; font-style: normal; font-weight: 700; }
.fa-exclamation-triangle::before { content: "!"; color: #b25e00; font-style: normal; font-weight: 700; }
.badge { background: #eef1f4; border-radius: 4px; padding: 0 .3rem; font-family: ui-monospace, monospace; }
.no { color: #c0262d; font-weight: 700; } .yes { color: #18794e; font-weight: 700; }
@media (prefers-color-scheme: dark) { body { background: #12161c; color: #e5e9ee; } th, td { border-color: #2c3540; }
 .badge { background: #232b35; } a { color: #7db5ee; } }
"""


def write_pages(results: dict[str, Any], folder: Path) -> None:
    """Write ``index.html`` and one page a suite of ``name -> ExpectationSuiteValidationResult``."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    renderer = ValidationResultsPageRenderer(run_info_at_end=True)
    with atomic_folder(folder) as temporary:
        rows = []
        for name, result in results.items():
            file = f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.html"
            page = DefaultJinjaPageView().render(renderer.render(_hidden(result)))
            (temporary / file).write_text(show(_offline(page, name)), encoding="utf-8")
            rows.append(_row(file, name, result))
        (temporary / "index.html").write_text(_index(rows), encoding="utf-8")


def _hidden(result: Any) -> Any:
    """A copy of a suite's result whose texts a renderer cannot take for markup."""
    hidden = copy.deepcopy(result)
    hidden.suite_name = hide(hidden.suite_name)
    hidden.meta = hide(hidden.meta)
    for outcome in hidden.results:
        outcome.result = hide(outcome.result)
        outcome.exception_info = hide(outcome.exception_info)
        outcome.expectation_config.kwargs = hide(outcome.expectation_config.kwargs)
        outcome.expectation_config.meta = hide(outcome.expectation_config.meta)
    return hidden


def _offline(page: str, name: str) -> str:
    for pattern in _ELSEWHERE:
        page = re.sub(pattern, "", page, flags=re.DOTALL | re.IGNORECASE)
    page = re.sub(r'<a href="\.\./[^"]*"[^>]*>(.*?)</a>', r"\1", page, flags=re.DOTALL)
    page = re.sub(r"<title>.*?</title>", "", page, flags=re.DOTALL)
    head = f"{POLICY}<title>{html.escape(name)}</title><style>{_STYLE}</style>"
    back = '<p><a href="index.html">All suites</a></p>'
    heading = f"{back}<h1>{html.escape(name)}</h1>"
    page = page.replace("</head>", f"{head}</head>", 1)
    return re.sub(r"<body[^>]*>", lambda match: match[0] + heading, page, count=1)


def _row(file: str, name: str, result: Any) -> str:
    statistics = result.statistics
    total, met = statistics["evaluated_expectations"], statistics["successful_expectations"]
    mark = '<span class="yes">met</span>' if result.success else '<span class="no">not met</span>'
    return (
        f'<tr><td><a href="{file}">{html.escape(name)}</a></td>'
        f"<td>{mark}</td><td>{met} of {total}</td></tr>"
    )


def _index(rows: list[str]) -> str:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{POLICY}'
        f"<title>Data docs</title><style>{_STYLE}</style></head><body><h1>Data docs</h1>"
        "<table><tr><th>Suite</th><th>Expectations</th><th>Met</th></tr>"
        f"{''.join(rows)}</table></body></html>\n"
    )
