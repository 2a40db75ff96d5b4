"""The search: take a trial, train its recipe, tell how it went; until enough trials or time is up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hemix.errors import DefinitionError
from hemix.files import digest_of
from hemix.models.data.reader import row_groups
from hemix.models.training.recipes import Recipe
from hemix.models.training.state import State, Trained
from hemix.models.training.trainer import Trainer
from hemix.models.tuning.study import Claim, StudyFolder
from hemix.progress import say
from hemix.spec import FeatureSpec

HOPELESS = 5
"""So many impossible trials and no possible one: something else is wrong."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a search may see: the training split to learn from, the validation split to choose by."""

    spec: FeatureSpec
    train: Path
    validation: Path

    @property
    def digest(self) -> str:
        """A hash of the contract and of what the files hold, wherever they lie."""
        groups = row_groups([self.train]), row_groups([self.validation])
        sizes = [[(g.path.name, g.path.stat().st_size, g.rows) for g in part] for part in groups]
        return digest_of([self.spec.model_dump(mode="json"), sizes])


class TimeIsUp(Exception):
    """The search's time is over; the trial in work stays as it is, to be gone on with."""


class _Pruned(Exception):
    """The trial is worse than others were at its point."""


def tune(
    folder: StudyFolder,
    rows: Rows,
    *,
    trials: int,
    minutes: float | None = None,
    tell: Callable[[str], None] = say,
) -> None:
    """Bring the study to ``trials`` finished trials, those of other processes included.

    Args:
        folder: of the study.
        rows: what trials train and are judged on.
        trials: finished trials to reach.
        minutes: time limit; a trial in progress then resumes at the next call. None: no limit.
        tell: takes a line on how it goes.

    Raises:
        DefinitionError: the study is of other rows, or no trial of it is possible.
        DataError: a split holds no rows.
    """
    if folder.settings.data and folder.settings.data != rows.digest:
        raise DefinitionError(
            f"{folder.root}: the study is of other data.",
            hint="Name a new folder with --study, or the run that the study was started with.",
        )
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    while deadline is None or time.monotonic() < deadline:
        with folder.claim(trials) as claim:
            if claim is None:
                return
            try:
                _Work(folder, claim, rows, trials, deadline, tell).run()
            except TimeIsUp:
                break
        _require_hope(folder)
    tell("The time is up; the same command continues where this one stopped.")


class _Work:
    """One trial: its trainings, seed after seed."""

    def __init__(
        self,
        folder: StudyFolder,
        claim: Claim,
        rows: Rows,
        trials: int,
        deadline: float | None,
        tell: Callable[[str], None],
    ) -> None:
        self.study, self.settings = folder.study, folder.settings
        self.claim, self.trial = claim, claim.trial
        self.rows, self.deadline, self.tell = rows, deadline, tell
        self.name = f"Trial {self.trial.number + 1} of {trials}"
        self.reported: set[int] = set()
        self.scores: list[float] = []
        self.started = time.monotonic()

    def run(self) -> None:
        again = ", gone on with" if self.claim.resumed else ""
        texts = [f"{field}={_short(value)}" for field, value in self.trial.params.items()]
        self.tell(f"{self.name}{again}: {', '.join(texts)}")
        try:
            recipe = self.settings.tried(self.trial.params)
            trained = [self._train(recipe, k) for k in range(self.settings.seeds)]
        except _Pruned:
            self._keep("seconds", round(time.monotonic() - self.started, 1))
            self._end("pruned", None, "stopped early")
        except (DefinitionError, ValueError, torch.OutOfMemoryError) as error:
            # ValueError: scores that are not numbers have no AUC; the training diverged.
            why = str(error).splitlines()[0]
            self._keep("reason", why)
            self._end("fail", None, f"not possible: {why}")
        else:
            for name, fact in _facts(trained).items():
                self._keep(name, fact)
            value = statistics.fmean(self.scores)
            self._end("complete", value, f"validation AUC {value:.5f}")

    def _train(self, recipe: Recipe, number: int) -> Trained:
        """The training of seed ``number``, from its checkpoint when there is one."""
        seed = recipe.training.seed + number
        training = recipe.training.model_copy(update={"seed": seed})
        trained = Trainer(
            recipe.model_copy(update={"training": training}),
            self.rows.spec,
            self.rows.train,
            self.rows.validation,
            self.claim.folder / f"seed-{seed}",
            tell=self._heard,
            validated=self._validated if number == 0 else self._in_time,
        ).run()
        assert trained.state.best is not None
        self.scores.append(trained.state.best.score)
        if number == 0:
            self._report(trained.state)
        else:
            self._point(self.settings.points + number, statistics.fmean(self.scores))
        return trained

    def _heard(self, line: str) -> None:
        if line.startswith("validation"):
            self.tell(f"  {line}")

    # ---- what the pruner sees -----------------------------------------------------------------

    def _validated(self, state: State) -> None:
        """Report the first seed's points; a training that goes on reports the earlier ones too."""
        self._report(state)
        self._in_time(state)

    def _report(self, state: State) -> None:
        for number, point in enumerate(state.validation, start=1):
            self._point(number, point.score, last=number == len(state.validation))

    def _point(self, number: int, score: float, *, last: bool = True) -> None:
        """A value at a point of the trial; asks the pruner at the latest one."""
        if number in self.reported:
            return
        self.reported.add(number)
        known = self.study.get_trials(deepcopy=False)[self.trial.number].intermediate_values
        if number not in known:
            self.trial.report(score, number)
        whole = number >= self.settings.points + self.settings.seeds - 1
        if last and not whole and self.trial.should_prune():
            raise _Pruned

    def _in_time(self, state: State) -> None:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimeIsUp

    # ---- the end ------------------------------------------------------------------------------

    def _keep(self, name: str, value: Any) -> None:
        self.trial.set_user_attr(name, value)

    def _end(self, state: str, value: float | None, text: str) -> None:
        from optuna.trial import TrialState

        self.study.tell(self.trial, value, state=TrialState[state.upper()])
        best = [t for t in self.study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
        seconds = time.monotonic() - self.started
        line = f"{self.name}: {text} ({seconds:.1f} s)"
        if best:
            top = max(best, key=lambda trial: trial.value or 0.0)
            line += f"; best {top.value:.5f}, trial {top.number + 1}"
        self.tell(line)


def _facts(trained: list[Trained]) -> dict[str, Any]:
    """What the report tells of a finished trial besides its value."""
    best = [one.state.best for one in trained if one.state.best]
    tasks = [task.name for task in trained[0].ranker.spec.tasks]
    return {
        "scores": [point.score for point in best],
        "auc": {t: statistics.fmean(b.auc[t] for b in best) for t in tasks},
        "logloss": {t: statistics.fmean(b.logloss[t] for b in best) for t in tasks},
        "parameters": trained[0].ranker.parameter_counts(),
        "seconds": round(sum(one.seconds for one in trained), 1),
    }


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _require_hope(folder: StudyFolder) -> None:
    """Raise when nothing that was tried is possible."""
    ended = [t for t in folder.study.get_trials(deepcopy=False) if t.state.is_finished()]
    reasons = [str(t.user_attrs["reason"]) for t in ended if "reason" in t.user_attrs]
    if len(reasons) >= HOPELESS and len(reasons) == len(ended):
        raise DefinitionError(
            f"{folder.root}: none of {len(reasons)} trials is possible. The last: {reasons[-1]}",
            hint="Narrow the space with --space.",
        )
