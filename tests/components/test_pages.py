"""No page takes a text of the data for markup: with hostile texts it has the tags it has with tame ones."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from hemix.components.evaluate.results import (
    Bootstrap,
    CalibrationCurve,
    Interval,
    ModelInfo,
    SliceResult,
    TaskResult,
)
from hemix.components.evaluate.results import Results as Evaluated
from hemix.components.experiment.page import COUNTS
from hemix.components.monitor.measure import Drift, Measures
from hemix.components.monitor.page import render as render_monitor
from hemix.components.monitor.policy import MonitorPolicy
from hemix.components.pages.escaping import POLICY, hide, show
from hemix.components.report.facts import DataFacts, SplitFacts
from hemix.components.report.lineage import DeploymentView, ModelView, RunView, StepView, Variant
from hemix.components.report.page import Page
from hemix.components.report.page import render as render_report
from hemix.components.report.parts import Gate, Missing
from hemix.components.report.training import TrainingView
from hemix.components.report.tuning import StudyNotes, render_study
from hemix.features.definition import DatasetDefinition
from hemix.models.search_space import Choice
from hemix.models.training.recipes import recipe_of
from hemix.models.tuning.results import Results, TrialRow
from hemix.models.tuning.study import StudySettings
from hemix.verdict import Check, Verdict

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "{{7*7}}${7*7}$HOME",
    "<!-- \u2028 ]]>",
    "javascript:alert(1)",
    "</title></style></textarea><iframe src=javascript:alert(1)>",
    "\U000f0000img src=x onerror=alert(1)\\U000f0001",
    "&lt;b&gt; \\u003cb\\u003e",
]


class Tags(HTMLParser):
    """Tags with the names of their attributes; values that a browser would follow or run; the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.run: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *sorted(name for name, _ in attrs)))
        for name, value in attrs:
            if name.startswith("on") or (name in ("href", "src", "xlink:href") and value):
                self.run.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def data_docs(text: str, folder: Path) -> str:
    from hemix.components.expectations import Suite, load, validate

    gxe = load()
    frame = pd.DataFrame(
        {"user": ["u1", "u1", "u2"], "item": [text, text, "tame"], text: [1, 2, None]}
    )
    suite = Suite(
        table=f"interactions {text}",
        frame=frame,
        expectations=(
            gxe.ExpectCompoundColumnsToBeUnique(column_list=["user", "item"]),
            gxe.ExpectColumnValuesToBeInSet(column="item", value_set=["tame", f"{text}2"]),
            gxe.ExpectColumnValuesToBeInSet(column="user", value_set=[text]),
            gxe.ExpectColumnValuesToBeUnique(column="item"),
            gxe.ExpectColumnValuesToNotBeNull(column=text),
            gxe.ExpectTableColumnsToMatchSet(column_set=["user", text]),
        ),
    )
    validate([suite], folder / "docs")
    return "".join(path.read_text() for path in sorted((folder / "docs").iterdir()))


def monitor(text: str, folder: Path) -> str:
    measures = Measures(
        since_ms=0, until_ms=1, users=1, unknown_users=0, items=1, unknown_items=0, processes=1,
        drift=(Drift(version=text, samples=5, psi={text: 0.4, "age_scaled": 0.1}),),
        calibration=(), ages_h={text: 1.0}, unreadable=0,
    )  # fmt: skip
    checks = [
        Check.of(text, 0.4, 0.25, "at_most", slice=text, note=text),
        Check.of("b", 0.1, 0.25, "at_most", slice=text, note=f"not judged: {text}"),
    ]
    return render_monitor(measures, Verdict.of("monitor", checks), MonitorPolicy.load(None))


def report(text: str, folder: Path) -> str:
    definition = DatasetDefinition.load("kuairand").model_copy(
        update={"name": text, "description": text}
    )
    interval = Interval(value=0.7, low=0.6, high=0.8)
    metrics = dict.fromkeys(
        ("auc", "user_gauc", "impression_auc", "logloss", "normalized_entropy", "pcoc", "ece"),
        interval,
    )
    models = ("candidate", "champion", "boosting", "rule", "popularity")
    curve = CalibrationCurve(rows=(5, 5), predicted=(0.1, 0.2), observed=(0.1, 0.3))
    task = TaskResult(
        positives=5, rate=0.5, metrics=dict.fromkeys(models, metrics),
        differences=dict.fromkeys(models[1:], metrics), calibration=dict.fromkeys(models, curve),
    )  # fmt: skip
    slices = tuple(
        SliceResult(
            dimension=text, slice=name, task=text, rows=900, users=30, positives=5,
            auc=dict.fromkeys(models, interval), difference=dict.fromkeys(models[1:], interval),
        )
        for name in (text, "tame")
    )  # fmt: skip
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    results = Evaluated(
        dataset=text, window_start=moment, window_end=moment, rows=9, users=3, items=3, requests=3,
        bootstrap=Bootstrap(replicates=10, seed=0, confidence=0.95),
        models=tuple(ModelInfo(name=m, version=text, description=text) for m in models),
        tasks={text: task}, slices=slices,
    )  # fmt: skip
    failed = Check.of(text, 1, 2, "at_least", slice=text, note=text)
    points = pd.DataFrame({"step": [1, 2], "value": [0.5, 0.6], "series": [text, text]})
    return render_report(
        Page(
            definition=definition,
            gates=(
                Gate(name=text, title=text, state="failed", checks=(failed,)),
                Gate(name="b", title="b", state="passed", checks=(failed,)),
            ),
            facts=DataFacts(
                rows=1, users=1, items=1, behaviors=1, repeats=0, conflicts=0, first=text, last=text,
                new_items=0.25,
                splits=(SplitFacts(name=text, window=definition.split.test, rows=1, users=1, items=1, rates=dict.fromkeys(definition.tasks, 0.5)),),
                days=(("2026-01-01", "train", 4), ("2026-01-02", "test", 5)),
            ),
            spec=Missing(reason=text),
            training=TrainingView(
                loss=points, auc=points, tasks=(text,), objective={text: 1.0}, parameters=1, flops_per_sample=1.0,
                seconds=1.0, reader_wait=None, steps=2, best_step=1,
            ),
            model=ModelView(
                version=text, ranker=text, recipe=text, created="", window=("", ""),
                digests=((text, text),), packages=((text, text),), size_mb=1.0,
            ),
            results=results,
            features=Missing(reason=text),
            deployment=DeploymentView(
                version=text, state=text,
                variants=(Variant(name=text, version=text, share=0.5), Variant(name="b", version="b", share=0.5)),
            ),
            run=RunView(
                started="2026-01-01T00:00:00+00:00", seconds=1.0, packages=((text, text),),
                steps=(StepView(name=text, status="succeeded", seconds=1.0, cached=True), StepView(name="b", status=text, seconds=1.0, cached=False)),
            ),
        )
    )  # fmt: skip


def tuning(text: str, folder: Path) -> str:
    base = recipe_of("compact").model_copy(update={"name": text})
    space = {"training.schedule": Choice(choices=("none", text))}
    rows = [
        TrialRow(
            number=number, outcome="trained", value=0.6 + number / 100, own=number == 1,
            values={"training.schedule": text if number % 2 else "none"}, auc={text: 0.6},
            points=[(1, 0.5), (2, 0.6)], scores=[0.6], parameters={"dense": 9}, seconds=1.0,
        )
        for number in range(1, 5)
    ]  # fmt: skip
    rows.append(TrialRow(number=5, outcome="not possible", values={}, reason=text))
    settings = StudySettings(
        recipe=base.model_dump(mode="json"),
        space={k: v.model_dump(mode="json") for k, v in space.items()},
    )
    results = Results(settings=settings, trials=rows, unimportant=text)
    notes = StudyNotes(dataset=text, version=text, train_rows=1, validation_rows=1, best=text)
    return render_study(results, notes)


def experiment(text: str, folder: Path) -> str:
    from hemix.components.experiment.page import Notes
    from hemix.components.experiment.page import render as render_experiment
    from hemix.serving.experiments.assignment import Variant as Arm
    from hemix.serving.experiments.design import Design
    from hemix.serving.experiments.policy import ExperimentPolicy
    from hemix.serving.experiments.results import (
        Analysis,
        ArmResult,
        Comparison,
        Decision,
        GuardResult,
        LargeUser,
        Look,
        Loss,
        MetricResult,
        MismatchResult,
    )

    policy = ExperimentPolicy.load(None)
    metric = policy.primary.model_copy(update={"task": text, "name": text})
    looks = tuple(
        Look(requests=n, time_ms=n * 10**9, effect=0.0, low=-0.1, high=0.1) for n in (1, 2, 3)
    )
    result = MetricResult(
        metric=metric,
        control=0.1,
        treatment=0.2,
        effect=0.1,
        low=0.0,
        high=0.2,
        plain_low=0.0,
        plain_high=0.3,
        variance_kept=0.9,
        looks=looks,
    )
    guard = GuardResult(
        name=text,
        control=1.0,
        treatment=1.0,
        value=1.0,
        low=0.9,
        high=1.1,
        limit=text,
        state="fine",
    )
    analysis = Analysis(
        layer=text,
        epoch=text,
        alpha=0.05,
        start_ms=0,
        end_ms=10,
        arms=tuple(
            ArmResult(name=text, version=text, share=0.5, users=9, requests=9) for _ in "ab"
        ),
        mismatch=MismatchResult(p_value=1.0, fixed_p_value=1.0, alpha=0.1, found=False),
        comparisons=(Comparison(arm=text, metrics=(result, result), guards=(guard,)),),
        counts=dict.fromkeys(COUNTS, 1),
        notes=(text,),
        unusable=(text,),
        losses=(Loss(of="outcomes", reason="late", count=1, total=2, example=text, cause=text),),
        large_users=(LargeUser(arm=text, user_id=text, requests=1, share=0.5),),
    )
    design = Design(layer=text, epoch=text, arms=(Arm(name=text, version=text, share=0.5),) * 2)
    decision = Decision(
        layer=text, epoch=text, verdict="unusable", arm=text, version=text, reasons=(text, text)
    )
    return render_experiment(
        design, analysis, decision, policy, Notes(source=text, paragraphs=(text,))
    )


PAGES: dict[str, Callable[[str, Path], str]] = {
    "data docs": data_docs,
    "experiment": experiment,
    "monitor": monitor,
    "report": report,
    "tuning": tuning,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_hostile_texts_are_text(name: str, tmp_path: Path) -> None:
    tame = Tags(PAGES[name]("plain words", tmp_path / "plain"))
    text = " ".join(HOSTILE)
    page = PAGES[name](text, tmp_path / "hostile")
    assert POLICY in page
    hostile = Tags(page)
    assert sorted(hostile.tags) == sorted(tame.tags)
    assert len(hostile.run) == len(tame.run)
    assert all(re.fullmatch(r"href=(#[\w-]+|[a-z0-9-]+\.html)", entry) for entry in hostile.run)
    assert "<img src=x onerror=alert(1)>" in hostile.text
    assert "{{7*7}}${7*7}$HOME" in hostile.text


@pytest.mark.parametrize("text", HOSTILE)
def test_what_was_hidden_comes_back_as_text(text: str) -> None:
    hidden = hide({text: [text, (text,)]})
    assert not set("<>&\"'`${}\\\n") & set("".join(hidden))
    assert hidden[hide(text)][1] == (hide(text),)
    shown = text.replace("\U000f0000", "\ufffd")  # no text should hold a private code point
    assert html.unescape(show(hide(text))) == shown
    for written in (repr(hide(text)), json.dumps(hide(text))):
        assert "<" not in show(written)
        assert html.unescape(show(written)).count("<") == text.count("<")


def test_every_environment_of_the_project_is_the_escaping_one() -> None:
    root = Path(__file__).parents[2]
    found = [
        path.relative_to(root).as_posix()
        for package in ("hemix", "features", "models", "serving", "components", "pipelines")
        for path in (root / package).rglob("*.py")
        if "jinja2.Environment(" in path.read_text()
    ]
    assert found == ["components/pages/escaping.py"]
