"""The report page: whole, cut short by a gate, safe against its own data, and open in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hemix.components.pages.drawing import themed
from hemix.components.pages.formats import limit, number, seconds, signed
from hemix.components.report.step import run
from hemix.errors import StorageError
from hemix.features.definition import DatasetDefinition
from hemix.files import write_json
from hemix.verdict import Check, Verdict
from tests.small import SmallRun

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Outline(HTMLParser):
    """Checks that tags close in order; collects text, figures and references to other files."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.svgs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.svgs += tag == "svg"
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action") and value:
                self.references.append(value)
            if name == "id" and value:
                self.ids.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(path: Path) -> Outline:
    parser = Outline()
    parser.feed(path.read_text())
    parser.close()
    assert parser.open == []
    return parser


def verdict(path: Path, gate: str, *checks: Check) -> Path:
    Verdict.of(gate, checks).write(path)
    return path


GOOD = Check.of("rows", 10, 5, "at_least", sample_size=10)
BAD = Check.of("single feature auc", 0.973, 0.95, "at_most", slice="item_click_ever")


@pytest.fixture(scope="module")
def page(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the whole small run."""
    folder = tmp_path_factory.mktemp("report")
    version = "small-tiny"
    write_json(
        folder / "deployment.json",
        {
            "version": version,
            "state": "challenger",
            "variants": [
                {"name": "champion", "version": "small-old", "share": 0.9},
                {"name": "challenger", "version": version, "share": 0.1},
            ],
        },
    )
    write_json(
        folder / "run.json",
        {
            "started": "2026-01-01T00:00:00+00:00",
            "seconds": 3.5,
            "packages": {"torch": "2.13.0"},
            "steps": [
                {"name": "ingest", "status": "succeeded", "seconds": 1.5, "cached": True},
                {"name": "train", "status": "succeeded", "seconds": 2.0, "cached": False},
            ],
        },
    )
    run(
        definition=small_run.definition,
        events=small_run.events,
        verdicts={
            "validate_data": verdict(folder / "data.json", "validate_data", GOOD),
            "validate_model": verdict(folder / "model.json", "validate_model", GOOD),
        },
        transformed=small_run.transformed,
        transform=small_run.transform,
        curves=small_run.model.parent / "curves-tiny",
        model=small_run.model,
        evaluation=small_run.evaluation,
        deployment=folder / "deployment.json",
        out_report=folder / "report.html",
        record=folder / "run.json",
    )
    return folder / "report.html"


def test_the_page_is_well_formed_and_needs_nothing_else(page: Path) -> None:
    found = outline(page)
    assert all(reference.startswith("#") for reference in found.references), found.references
    assert len(found.ids) == len(set(found.ids)), "ids must be unique"
    anchors = {reference[1:] for reference in found.references}
    assert anchors <= set(found.ids)
    text = page.read_text()
    assert not re.search(r"(https?:)?//[a-z0-9]", re.sub(r"/\*.*?\*/", "", text))
    assert "<script" not in text
    assert "@import" not in text


def test_the_page_tells_the_run(page: Path, small_run: SmallRun) -> None:
    from hemix.components.evaluate.results import Results

    found = outline(page)
    text = " ".join(" ".join(found.text).split())
    results = Results.read(small_run.evaluation)
    auc = results.tasks["click"].metrics["candidate"]["auc"].value
    assert f"{auc:.4f}" in text
    assert f"{results.rows:,} later impressions" in text
    assert "live as challenger, 10 % of users" in text
    assert "AUC of long view" in text
    assert "Inside the model" in text
    assert "What HeMix reads in 'global': user " in text
    assert "Not run" not in text
    # activity, two training curves, AUC and calibration a task, at least a slice chart a task
    assert found.svgs >= 9


def test_charts_follow_the_theme(page: Path) -> None:
    text = page.read_text()
    body = text[text.index("<main>") :]
    assert "var(--candidate)" in body
    assert "#2458e6" not in body.lower(), "a chart colour that the dark theme cannot change"


def test_a_failed_gate_leaves_the_rest_unsaid(small_run: SmallRun, tmp_path: Path) -> None:
    run(
        definition=small_run.definition,
        events=small_run.events,
        verdicts={
            "validate_data": verdict(tmp_path / "a.json", "validate_data", GOOD),
            "validate_features": verdict(tmp_path / "b.json", "validate_features", GOOD, BAD),
        },
        transformed=None,
        transform=None,
        curves=None,
        model=None,
        evaluation=tmp_path / "never-made",
        deployment=None,
        out_report=tmp_path / "report.html",
    )
    text = " ".join(" ".join(outline(tmp_path / "report.html").text).split())
    assert "stopped by gate validate_features" in text
    assert "0.9730 and must be ≤ 0.95" in text
    assert "Not run: gate validate_features failed." in text


def test_nothing_at_all_still_makes_a_page(
    small_definition: DatasetDefinition, tmp_path: Path
) -> None:
    run(
        definition=small_definition,
        events=None,
        verdicts={},
        transformed=None,
        transform=None,
        curves=None,
        model=None,
        evaluation=None,
        deployment=None,
        out_report=tmp_path / "report.html",
    )
    assert "Not part of this run." in " ".join(outline(tmp_path / "report.html").text)


def test_text_from_the_data_is_not_markup(
    small_definition: DatasetDefinition, tmp_path: Path
) -> None:
    evil = "<script>alert(1)</script>"
    run(
        definition=small_definition.model_copy(update={"description": evil}),
        events=None,
        verdicts={
            "validate_data": verdict(
                tmp_path / "a.json",
                "validate_data",
                Check.of(evil, 1, 2, "at_least", slice=evil, note=evil),
            )
        },
        transformed=None,
        transform=None,
        curves=None,
        model=None,
        evaluation=None,
        deployment=None,
        out_report=tmp_path / "report.html",
    )
    assert "<script" not in (tmp_path / "report.html").read_text()


def test_a_damaged_artifact_is_named_and_no_page_is_left(
    small_definition: DatasetDefinition, tmp_path: Path
) -> None:
    (tmp_path / "deployment.json").write_text("{")
    with pytest.raises(StorageError, match=r"deployment\.json"):
        run(
            definition=small_definition,
            events=None,
            verdicts={},
            transformed=None,
            transform=None,
            curves=None,
            model=None,
            evaluation=None,
            deployment=tmp_path / "deployment.json",
            out_report=tmp_path / "report.html",
        )
    assert not (tmp_path / "report.html").exists()


def test_ids_of_two_charts_do_not_meet() -> None:
    svg = '<svg width="10" height="5"><clipPath id="clip0"/><g clip-path="url(#clip0)"/></svg>'
    first, second = themed(svg, "a"), themed(svg, "b")
    assert 'id="a-clip0"' in first
    assert "url(#a-clip0)" in first
    assert "clip0" not in second.replace("b-clip0", "")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (float("nan"), "–"), (0, "0"), (12345, "12,345"), (0.97304, "0.9730"),
     (-0.0114, "−0.0114"), (3e-8, "3e-08"), (2636.4, "2,636.4"), (-0.0, "0")],
)  # fmt: skip
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert number(value) == text


def test_signs_limits_and_times_read_well() -> None:
    assert (signed(0.01), signed(-0.01), signed(None)) == ("+0.0100", "−0.0100", "–")
    assert (limit(0.6), limit(-0.005)) == ("0.6", "−0.005")
    assert (seconds(0.42), seconds(12), seconds(200)) == ("0.4 s", "12 s", "3 min 20 s")


def test_the_page_opens_in_a_browser(page: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not on PATH")
    answer = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu",
            "--disable-background-networking", f"--user-data-dir={tmp_path}", "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )  # fmt: skip
    dom = answer.stdout
    assert "<title>kuairand · small-tiny · hemix report</title>" in dom
    assert dom.count("<svg") == outline(page).svgs
    assert dom.rstrip().endswith("</html>")
