"""Training speed: its yardstick has the engine's logits, gradients and rows; its figures add up."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from benchmarks import train_speed
from benchmarks.inputs.made_up import made_up_batch, made_up_spec
from benchmarks.measuring import device
from benchmarks.rivals.plain_hemix import PlainHeMix
from benchmarks.train_speed import VARIANTS, Setup, app, make, measure, summary
from hemix.models.layers.attention.layout import Layout, plan
from hemix.models.layers.attention.reading import layout_of as real
from hemix.models.rankers.hemix.model import HeMix

torch.set_num_threads(1)
SMALL = {"model.token_width": "16"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        ("compact", {}),
        ("tiny", {}),
        ("tiny", {"model.embedding.id_dropout": "0.2"}),
        ("unirank_like", {}),
    ],
)
def test_variants_have_the_same_logits_and_gradients(recipe: str, more: dict[str, str]) -> None:
    setup = Setup(recipe=recipe, history=30, rows=8, overrides=SMALL | more)
    made = {variant: make(variant, setup) for variant in VARIANTS}
    logits, gradients = {}, {}
    for variant, (steps, batches) in made.items():
        assert type(steps.ranker) is (PlainHeMix if variant == "plain" else HeMix)
        torch.manual_seed(0)  # the same ids are shown as unknown
        steps.ranker.double()
        batch = batches[0]
        batch.numbers.update({k: v.double() for k, v in batch.numbers.items()})
        found = steps.ranker(batch)
        sum(logit.sum() for logit in found.values()).backward()
        logits[variant] = torch.stack(list(found.values()))
        gradients[variant] = {
            name: p.grad.to_dense()
            for name, p in steps.ranker.named_parameters()
            if p.grad is not None
        }
    for variant in ("folded", "ours"):
        torch.testing.assert_close(logits[variant], logits["plain"], rtol=0, atol=1e-10)
        assert gradients[variant].keys() == gradients["plain"].keys()
        for name, gradient in gradients["plain"].items():
            torch.testing.assert_close(gradients[variant][name], gradient, rtol=0, atol=1e-10)


def test_rows_are_as_described() -> None:
    spec = made_up_spec(120)
    lengths = made_up_batch(spec, 4000, 0).lists["global"].lengths
    assert lengths.min() >= 1
    assert lengths.max() == 120
    assert abs(float(lengths.float().median()) - 40) < 3
    assert abs(float((lengths == 120).float().mean()) - 1 / 7) < 0.03
    assert (made_up_batch(spec, 5, 0, full=True).lists["global"].lengths == 120).all()


SETUP = Setup(recipe="tiny", history=30, rows=8, overrides=SMALL)
EVENT_BYTES = 4 * 3 * 16
"""Of an event of made-up rows in recipe tiny: three columns of width 16 in float32."""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_job_takes_steps_in_the_precision_asked(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    forward = HeMix.forward

    def watched(self: HeMix, batch: Any) -> dict[str, torch.Tensor]:
        logits = forward(self, batch)
        seen.append({logit.dtype for logit in logits.values()})
        return logits

    monkeypatch.setattr(HeMix, "forward", watched)
    setup = Setup(recipe="tiny", history=30, rows=8, overrides=SMALL, precision=precision)
    try:
        found = measure("ours", setup, 0.0)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    assert len(found["took"]) == 3
    assert found["peak_mb"] >= 0
    assert found["cpu"] > 0
    assert seen == [{getattr(torch, precision)}] * 5


def test_the_figures_of_a_case_are_shares_of_the_measured_peaks() -> None:
    found = [
        {"took": [0.5, 2.0], "cpu": 1.0, "peak_mb": 4.0},
        {"took": [1], "cpu": 3, "peak_mb": 1},
    ]
    figures = summary(SETUP, dict.fromkeys(VARIANTS, found), peak=2.0, copied=4.0)
    assert figures["matmul_gflops"] == 2
    assert figures["copy_gb_per_s"] == 4
    ours = figures["ours"]
    assert ours["samples_per_s"] == 8
    assert ours["samples_per_cpu_s"] == 4
    assert (ours["peak_mb"], ours["kb_per_sample"], ours["steps"]) == (4, 512, 3)
    assert figures["ratio"] == 1
    steps, batches = make("ours", SETUP)
    share = sum(int(b.lists["global"].offsets[-1]) for b in batches) / (3 * 8 * 30)
    full = sum(steps.ranker.flops_per_sample().values())
    empty = sum(
        make("ours", Setup(recipe="tiny", history=0, rows=1, overrides=SMALL))[0]
        .ranker.flops_per_sample()
        .values()
    )
    assert ours["mfu"] == round(3 * (empty + (full - empty) * share) * 8 / 2e9, 4)
    moved = 3 * sum(steps.ranker.bytes_per_sample().values()) * share * 8 / 1e9
    assert ours["gb_per_s"] == round(moved, 3)
    assert ours["bandwidth_share"] == round(round(moved, 3) / 4, 4)


def test_waste_is_that_of_the_model_s_own_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, batches = make("ours", SETUP)
    layouts = [
        plan(batch.lists[name].offsets, event_bytes=EVENT_BYTES)
        for name in ("global", "realtime")
        for batch in batches
    ]
    asked = []

    def layout_of(offsets: torch.Tensor, event_bytes: int) -> Layout | None:
        asked.append(event_bytes)
        return real(offsets, event_bytes)

    monkeypatch.setattr(train_speed, "layout_of", layout_of)
    events = sum(int(layout.offsets[-1]) for layout in layouts)
    places = sum(len(layout.order) for layout in layouts)
    waste = train_speed._waste(steps.ranker, batches, torch.device("cpu"))
    assert waste == pytest.approx(1 - events / places)
    assert asked == [EVENT_BYTES] * 6
    monkeypatch.setattr(train_speed, "layout_of", lambda *_: None)  # as on a GPU
    assert train_speed._waste(steps.ranker, batches, torch.device("cpu")) == 0


def test_peaks_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(device.MATMUL, "cpu", 64)
    monkeypatch.setitem(device.COPY, "cpu", 1 << 20)
    for precision in ("float32", "bfloat16"):
        assert device.matmul_gflops(precision=precision) > 0
    assert device.copy_gb_per_s() > 0


def test_the_command_passes_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def case(setup: Setup, *, seconds: float, turns: int) -> dict[str, Any]:
        asked.append(setup)
        found = [{"took": [seconds], "cpu": 1.0, "peak_mb": 1.0}] * turns
        small = Setup(recipe="tiny", history=30, rows=8, overrides=SMALL)
        figures = summary(small, dict.fromkeys(VARIANTS, found), peak=1.0, copied=1.0)
        return {**figures, "history": setup.history, "rows": setup.rows}

    monkeypatch.setattr(train_speed, "case", case)
    given = ["--history", "100", "--rows", "8192", "--device", "cpu", "--precision", "bfloat16"]
    given += ["--set", "model.token_width=256", "--set", "model.blocks=3", "--no-write"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.splitlines()[-1])
    overrides = {"model.token_width": "256", "model.blocks": "3"}
    assert asked == [
        Setup(recipe="tiny", history=100, rows=8192, precision="bfloat16", overrides=overrides)
    ]
    assert figures["samples_per_s"] == figures["cases"][0]["ours"]["samples_per_s"]
    assert figures["ratio_to_reference"] == 1
    assert (figures["device"], figures["precision"]) == ("cpu", "bfloat16")
    assert figures["set"] == overrides
    for wrong in (["--device", "tpu"], ["--set", "oops"]):
        assert CliRunner().invoke(app, [*wrong, "--no-write"]).exit_code == 2
    assert len(asked) == 1
