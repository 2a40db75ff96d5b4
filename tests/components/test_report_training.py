"""The report's training section: log loss is drawn, whatever else was minimised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hemix.components.report.training import read_training
from hemix.files import write_json


def curves(folder: Path, *, objective: dict[str, float] | None, **terms: float) -> Path:
    """``curves.json`` of two steps whose loss is 5, and a validation of log loss 1.25 in all."""
    point: dict[str, Any] = {"loss": 5.0, "phase": "fit", "terms": terms}
    value: dict[str, Any] = {
        "training": [point | {"step": 1}, point | {"step": 2}],
        "validation": [{"step": 2, "auc": {"click": 0.7}, "logloss": {"click": 1.0, "like": 0.25}}],
        "best": {"step": 2},
    }
    write_json(
        folder / "curves.json", value if objective is None else value | {"objective": objective}
    )
    return folder


def drawn(folder: Path) -> dict[str, list[float]]:
    loss = read_training(folder).loss
    return {name: list(rows["value"]) for name, rows in loss.groupby("series")}


def test_beside_another_term_log_loss_is_drawn_alone(tmp_path: Path) -> None:
    folder = curves(tmp_path, objective={"bce": 1, "jrc": 0.3}, bce=1.5, jrc=3.5)
    assert drawn(folder) == {"training": [1.5, 1.5], "validation": [1.25]}
    assert read_training(folder).minimised == "log loss + 0.3 jrc"


def test_without_log_loss_validation_stands_alone(tmp_path: Path) -> None:
    folder = curves(tmp_path, objective={"listce": 1}, listce=5.0)
    assert drawn(folder) == {"validation": [1.25]}
    assert read_training(folder).minimised == "listce"


def test_curves_of_earlier_releases_are_of_log_loss(tmp_path: Path) -> None:
    folder = curves(tmp_path, objective=None)
    assert drawn(folder) == {"training": [5.0, 5.0], "validation": [1.25]}
    assert read_training(folder).minimised == "log loss"
