"""What a study found: its trials, the best recipe, and how much each field mattered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from hemix.files import atomic_file
from hemix.models.search_space import Value
from hemix.models.training.recipe_files import as_yaml
from hemix.models.training.recipes import Recipe
from hemix.models.tuning.space import parameters_of, value_of, values_of, with_values
from hemix.models.tuning.study import DATABASE, StudyFolder, StudySettings
from hemix.texts.frozen import Frozen

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEST = "best.yaml"
ENOUGH = 8
"""Fewer trained trials say nothing about which field matters."""
TREES = 64

Outcome = Literal["trained", "stopped early", "not possible", "cut off"]
_OUTCOMES: dict[str, Outcome] = {
    "COMPLETE": "trained",
    "PRUNED": "stopped early",
    "FAIL": "not possible",
    "RUNNING": "cut off",
}


class TrialRow(Frozen):
    """One trial. ``number`` counts from 1; ``value`` is the mean validation AUC over tasks and seeds.

    ``points``: the first seed's validations so far, number and mean AUC. ``own``: the recipe as it
    was. A trial that is ``cut off`` may also be in work in another process.
    """

    number: int
    outcome: Outcome
    value: float | None = None
    values: dict[str, Value]
    own: bool = False
    points: list[tuple[int, float]] = Field(default=[])
    scores: list[float] = Field(default=[])
    auc: dict[str, float] = Field(default={})
    logloss: dict[str, float] = Field(default={})
    parameters: dict[str, int] = Field(default={})
    seconds: float = 0.0
    reason: str = ""


class Results(Frozen):
    """A study's trials by number. ``importance``: field -> share of the variance of the value that
    it explains (fANOVA); empty when ``unimportant`` says why there are none.
    """

    settings: StudySettings
    trials: list[TrialRow]
    importance: dict[str, float] = Field(default={})
    unimportant: str = ""

    @property
    def trained(self) -> list[TrialRow]:
        """Trials with a value, the best first."""
        rows = [row for row in self.trials if row.outcome == "trained"]
        return sorted(rows, key=lambda row: (-(row.value or 0.0), row.number))

    @property
    def best(self) -> TrialRow | None:
        return self.trained[0] if self.trained else None

    @property
    def top(self) -> float:
        """The best value; only where there is one."""
        return max(row.value for row in self.trained if row.value is not None)

    @property
    def own(self) -> TrialRow | None:
        """The recipe as it was, when it was trained to the end."""
        return next((row for row in self.trained if row.own), None)

    def best_recipe(self) -> Recipe | None:
        """The recipe of the best trial: the base with what was found, named after it."""
        if self.best is None:
            return None
        base = self.settings.base
        training = self.settings.tried({}).training
        found = with_values(
            base,
            {
                "training.evaluations": training.evaluations,
                "training.patience": training.patience,
                **self.best.values,
            },
        )
        suffix = "" if base.name.endswith("-tuned") else "-tuned"
        return found.model_copy(update={"name": f"{base.name}{suffix}"})

    def changes(self) -> dict[str, tuple[Value, Value]]:
        """What the best trial changed: field -> value before, value found."""
        if self.best is None:
            return {}
        before = {field: value_of(self.settings.base, field) for field in self.best.values}
        return {
            field: (before[field], value)
            for field, value in self.best.values.items()
            if value != before[field]
        }


def read_results(folder: StudyFolder) -> Results:
    """Everything the study holds now."""
    settings = folder.settings
    known = folder.study.get_trials(deepcopy=False)
    own = parameters_of(settings.base, settings.domains)
    rows = [_row(settings, trial, own) for trial in known if trial.state.name in _OUTCOMES]
    importance, why = _importance(folder, rows)
    return Results(settings=settings, trials=rows, importance=importance, unimportant=why)


def _row(settings: StudySettings, trial: FrozenTrial, own: dict[str, Any] | None) -> TrialRow:
    attributes = dict(trial.user_attrs)
    outcome = _OUTCOMES[trial.state.name]
    return TrialRow(
        number=trial.number + 1,
        outcome=outcome,
        value=trial.value if outcome in ("trained", "stopped early") else None,
        values=values_of(settings.domains, trial.params),
        own=trial.params == own,
        points=[(n, v) for n, v in sorted(trial.intermediate_values.items())],
        **attributes,
    )


def _importance(folder: StudyFolder, rows: list[TrialRow]) -> tuple[dict[str, float], str]:
    trained = [row.value for row in rows if row.outcome == "trained"]
    if len(trained) < ENOUGH:
        return {}, f"{len(trained)} trained trials say too little; at least {ENOUGH} are needed."
    if len(set(trained)) < 2:
        return {}, "All trained trials have the same value."
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=folder.settings.seed)
    found = get_param_importances(folder.study, evaluator=evaluator)
    return {field: float(share) for field, share in found.items()}, ""


def write_best(results: Results, folder: Path) -> Path | None:
    """Write the best recipe as ``best.yaml``, which ``hemix run --recipe`` takes; None without one.

    Raises:
        StorageError: the folder cannot be written.
    """
    recipe, best = results.best_recipe(), results.best
    if recipe is None or best is None:
        return None
    remarks = [
        f"Trial {best.number} of {len(results.trials)} by hemix tune ({folder.name}/{DATABASE}):",
        f"mean validation AUC {best.value:.5f}, trainings: {len(best.scores)}.",
    ]
    if (own := results.own) is not None:
        remarks.append(f"The recipe {results.settings.base.name} as it was: {own.value:.5f}.")
    path = folder / BEST
    with atomic_file(path) as temporary:
        temporary.write_text(as_yaml(recipe.model_dump(mode="json"), remarks))
    return path
