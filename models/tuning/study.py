"""A study's folder: what is searched, the trials so far, and who works on which of them.

``study.json`` says what the study is, ``study.db`` (SQLite, Optuna's own format) holds its trials.
Several processes may work on one study. Each holds a lock on the trial it trains; the kernel gives
the lock back when the process dies, however it dies, so a running trial without a lock is one that
was cut off, and the next process goes on with it under the same number.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from hemix.errors import DefinitionError, StorageError
from hemix.files import digest_of, lock, locked, read_json, write_json
from hemix.models.search_space import Domain, as_json, parse_space
from hemix.models.training.recipes import Recipe
from hemix.models.tuning.space import parameters_of, suggest, values_of, with_values
from hemix.texts.frozen import Frozen, parse

if TYPE_CHECKING:
    import optuna

Pruner = Literal["median", "hyperband", "none"]
STUDY = "study.json"
DATABASE = "study.db"
TRIALS = "trials"
HINT = "Name another folder with --study."
NAME = "hemix"
STARTUP = 10
"""Trials that are drawn at random before the sampler models what they found."""
EVALUATIONS = 4
"""Validations an epoch of a trial, at least: a trial can only be stopped at one of them."""
LOCK_S = 60
"""How long a process waits for another's write to the database."""


class StudySettings(Frozen):
    """What a study is; resuming one with different settings is refused.

    ``recipe``: where the search starts, as ``model_dump`` writes it. ``space``: see
    :mod:`hemix.models.search_space`. ``seeds``: trainings a trial; its value is their mean. ``data``: a digest
    of the rows and their contract.
    """

    recipe: dict[str, Any]
    space: dict[str, dict[str, Any]]
    seeds: int = Field(default=1, ge=1)
    seed: int = 0
    pruner: Pruner = "median"
    data: str = ""

    @staticmethod
    def of(recipe: Recipe, space: dict[str, Domain], **others: Any) -> StudySettings:
        return StudySettings(recipe=recipe.model_dump(mode="json"), space=as_json(space), **others)

    @property
    def base(self) -> Recipe:
        return Recipe.parse(self.recipe)

    @property
    def domains(self) -> dict[str, Domain]:
        parsed = parse_space(self.space, STUDY)
        return {field: domain for field, domain in parsed.items() if domain is not None}

    def tried(self, parameters: dict[str, Any]) -> Recipe:
        """The recipe that a trial trains: validated often enough, patience kept in epochs, no refit.

        Raises:
            DefinitionError: the parameters do not fit each other.
        """
        training = self.base.training
        often = max(training.evaluations, EVALUATIONS)
        values = {
            **values_of(self.domains, parameters),
            "training.refit": False,
            "training.evaluations": often,
            "training.patience": max(1, round(training.patience * often / training.evaluations)),
        }
        return with_values(self.base, values)

    @property
    def points(self) -> int:
        """Validations of one training at most."""
        training = self.base.training
        return training.epochs * max(training.evaluations, EVALUATIONS)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A trial that this process works on; ``resumed``: another one began it."""

    trial: optuna.Trial
    folder: Path
    resumed: bool


class StudyFolder:
    """A study in ``root``: the existing one, or a new one of ``settings``.

    Raises:
        DefinitionError: the folder holds a study of other settings; the message names the first.
        StorageError: the folder is damaged or cannot be written.
    """

    def __init__(self, root: Path, settings: StudySettings) -> None:
        self.root = root
        self.settings = settings
        with self._locked():
            self._same_settings()
            self.study = self._open()

    @staticmethod
    def existing(root: Path) -> StudyFolder:
        """The study in ``root``.

        Raises:
            StorageError: there is none, or it is damaged.
        """
        if not (root / STUDY).is_file():
            raise StorageError(f"{root}: holds no study.", hint="Begin one: hemix tune --run DIR.")
        return StudyFolder(root, _read(root / STUDY))

    def _same_settings(self) -> None:
        path = self.root / STUDY
        if not path.exists():
            write_json(path, self.settings.model_dump(mode="json"))
            return
        before, now = _read(path).model_dump(), self.settings.model_dump()
        if changed := [name for name in now if before[name] != now[name]]:
            raise DefinitionError(
                f"{self.root}: holds a study with another {changed[0]}.",
                hint="Continue with the settings it was started with, or name a new folder with --study.",
            )

    def _open(self) -> optuna.Study:
        import optuna

        _quiet()
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{(self.root / DATABASE).resolve()}",
            engine_kwargs={"connect_args": {"timeout": LOCK_S}},
        )
        study = optuna.create_study(
            storage=storage,
            study_name=NAME,
            direction="maximize",
            load_if_exists=True,
            sampler=numbered_sampler(self.settings.seed),
            pruner=_pruner(self.settings),
        )
        if not study.get_trials(deepcopy=False):
            own = parameters_of(self.settings.base, self.settings.domains)
            if own is not None:
                study.enqueue_trial(own)
        return study

    # ---- who works on what --------------------------------------------------------------------

    def finished(self) -> int:
        """Trials that came to an end: trained, stopped early, or not possible."""
        return sum(trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))

    @contextlib.contextmanager
    def claim(self, trials: int) -> Iterator[Claim | None]:
        """Hold a trial that was cut off, else a new one; None when there are ``trials`` already.

        The trial's folder keeps the checkpoints of its trainings while it runs, and goes with it.
        """
        from optuna.trial import TrialState

        with contextlib.ExitStack() as held:
            with self._locked():
                claim = self._cut_off(held)
                taken = self.study.get_trials(deepcopy=False)
                begun = sum(trial.state != TrialState.WAITING for trial in taken)
                if claim is None and begun < trials:
                    claim = self._new(held)
            yield claim
        if claim is not None and self._state(claim.trial).is_finished():
            shutil.rmtree(claim.folder, ignore_errors=True)

    def _cut_off(self, held: contextlib.ExitStack) -> Claim | None:
        import optuna

        for trial in self.study.get_trials(deepcopy=False):
            if trial.state != optuna.trial.TrialState.RUNNING:
                continue
            folder = self.root / TRIALS / str(trial.number)
            if (own := lock(folder / "lock", hint=HINT, wait=False)) is None:
                continue  # another process is at it
            held.enter_context(own)
            # A new handle of the same trial: what was suggested and reported before still stands.
            again = optuna.Trial(self.study, trial._trial_id)
            suggest(again, self.settings.domains)
            return Claim(trial=again, folder=folder, resumed=True)
        return None

    def _new(self, held: contextlib.ExitStack) -> Claim:
        trial = self.study.ask()
        suggest(trial, self.settings.domains)
        folder = self.root / TRIALS / str(trial.number)
        own = lock(folder / "lock", hint=HINT, wait=False)
        assert own is not None, "the trial's number is new"
        held.enter_context(own)
        return Claim(trial=trial, folder=folder, resumed=False)

    def _state(self, trial: optuna.Trial) -> optuna.trial.TrialState:
        return self.study.get_trials(deepcopy=False)[trial.number].state

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.root / ".lock", hint=HINT)


def _read(path: Path) -> StudySettings:
    return parse(StudySettings, read_json(path), where=str(path), what="a study")


def _pruner(settings: StudySettings) -> optuna.pruners.BasePruner:
    from optuna import pruners

    if settings.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if settings.pruner == "hyperband":
        return pruners.HyperbandPruner(
            min_resource=1, max_resource=settings.points, reduction_factor=2
        )
    return pruners.NopPruner()


def numbered_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """TPE whose draws for a trial depend on the seed, the trial's number and the trials before it.

    A sampler with one stream of random numbers would repeat its first draws whenever a study is
    opened again; here a study that was interrupted goes on as if it had not been.
    """
    from optuna.samplers import BaseSampler, TPESampler

    class Numbered(BaseSampler):
        def __init__(self) -> None:
            self._own: Any = None

        def before_trial(self, study: Any, trial: Any) -> None:
            own = int(digest_of([seed, trial.number], length=8), 16)
            self._own = TPESampler(n_startup_trials=STARTUP, multivariate=True, seed=own)
            self._own.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._own.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self._own.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return self._own.sample_independent(study, trial, name, distribution)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            if self._own is not None:
                self._own.after_trial(study, trial, state, values)

    return Numbered()


def _quiet() -> None:
    """Optuna tells less than we do; its remarks about experimental parts say nothing to a user."""
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
