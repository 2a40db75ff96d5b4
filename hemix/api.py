"""The public Python API: few names, each a short way to what the commands do."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemix.errors import DefinitionError, ModelVersionError, RegistryError
from hemix.storage import is_remote

if TYPE_CHECKING:
    import pyarrow as pa

    from hemix.features.definition import DatasetDefinition
    from hemix.features.transform import TransformGraph
    from hemix.models.pictures import Picture
    from hemix.models.rankers.base import Ranker
    from hemix.models.versions.inference import Scorer
    from hemix.models.versions.version import Manifest
    from hemix.pipelines.local.record import RunRecord
    from hemix.spec import FeatureSpec


def load_definition(
    place: str | Path, *, set: Mapping[str, Any] | None = None
) -> DatasetDefinition:
    """Read and check a data set definition.

    Args:
        place: a YAML file, or the name of a shipped data set (``"kuairand"``).
        set: values to change, by dotted key: ``{"split.train.end": "2022-04-29"}``.

    Raises:
        DefinitionError: it cannot be used as written; the message names every key and the mend.
    """
    from hemix.features.definition import DatasetDefinition

    return DatasetDefinition.load(place, dict(set or {}))


def run(
    definition: str | Path,
    *,
    output: str | Path | None = None,
    recipe: str = "compact",
    set: Sequence[str] = (),
    policy: str | Path | None = None,
    share: float = 0.1,
    online_store: str = "sqlite",
    runner_options: str = "",
    fresh: bool = False,
    quiet: bool = False,
) -> RunRecord:
    """Run the training pipeline on this machine, as ``hemix run`` does.

    Args:
        definition: a YAML file, or the name of a shipped data set (``"kuairand"``).
        output: folder or ``s3://`` prefix of the run; default ``runs/NAME``.
        recipe: name of a training recipe, or a YAML file.
        set: changes of single values, each ``"KEY=VALUE"``, as the option ``--set`` takes them.
        policy: YAML file of what a model must meet to be deployed; default: the shipped one.
        share: share of users of a challenger, above 0 and below 1.
        online_store: where features are served from: ``sqlite`` or ``redis://HOST:PORT``.
        runner_options: where Beam runs, as the option ``--runner-options`` takes it.
        fresh: work every step anew instead of taking unchanged ones from the cache.
        quiet: print nothing on the way.

    Returns:
        The record: version, steps with times, verdicts, metrics.

    Raises:
        GateFailed: a gate stopped the run; nothing live changed.
        HemixError: the definition, the log or the machine; the message says which.
    """
    from rich.console import Console

    from hemix.features.beam.runner_config import runner_flags
    from hemix.pipelines.local.display import display
    from hemix.pipelines.local.folder import RunFolder
    from hemix.pipelines.local.request import RunRequest
    from hemix.pipelines.local.run import run as run_pipeline
    from hemix.pipelines.overrides import parse_overrides

    overrides = parse_overrides(list(set))
    if output is None:
        output = f"runs/{load_definition(definition, set=overrides.definition).name}"
    request = RunRequest(
        dataset=definition,
        recipe=recipe,
        overrides=overrides,
        folder=RunFolder.at(output),
        fresh=fresh,
        policy=Path(policy) if policy is not None else None,
        share=share,
        online_store=online_store,
        runner_options=runner_flags(runner_options),
    )
    with display(Console(file=io.StringIO() if quiet else sys.stdout)) as observer:
        return run_pipeline(request, observer)


def read_run(output: str | Path, version: str = "") -> RunRecord:
    """The record of the latest run in an output folder, or of one that made ``version``.

    Raises:
        StorageError: there is none.
    """
    from hemix.pipelines.local.folder import RunFolder
    from hemix.pipelines.local.record import RunRecord

    folder = RunFolder.at(output)
    return RunRecord.read(folder.record_of(version) if version else folder.record)


def load_version(place: str | Path, version: str = "") -> Version:
    """A trained version, ready to score; every file's digest is checked first.

    Args:
        place: a version's folder, or a run's output (folder or ``s3://``), or a registry.
        version: which version of a run's output or registry; default: its champion.

    Raises:
        ModelVersionError: the folder is not what its manifest says.
        RegistryError: there is no such version, or no champion yet.
    """
    return Version(_folder_of(place, version))


def build_ranker(
    spec: FeatureSpec, recipe: str | Path = "compact", *, set: Sequence[str] = ()
) -> Ranker:
    """A ranker with new random weights (torch's global generator), a ``torch.nn.Module``.

    Args:
        spec: which inputs there are: ``FeatureSpec.read(path)``, or a version's ``spec``.
        recipe: name of a recipe, or a YAML file; a wrong name is answered with those there are.
        set: changes of single values, each ``"model.KEY=VALUE"``.

    Raises:
        DefinitionError: no such recipe, or a value that it does not take.
    """
    from hemix.models.training.recipes import recipe_of
    from hemix.pipelines.overrides import parse_overrides

    overrides = parse_overrides(list(set))
    if overrides.definition:
        raise DefinitionError(
            f"{next(iter(overrides.definition))}: not a value of a recipe.",
            hint="Write model.KEY=VALUE or training.KEY=VALUE.",
        )
    return recipe_of(str(recipe), overrides.recipe).build(spec)


class Version:
    """A model version: its manifest, its own transform and its ranker.

    Attributes:
        folder: where it is.
        manifest: what it was made from and how it did.
        scorer: the ranker, for requests of one user.
        graph: the transform that training and serving share.
    """

    def __init__(self, folder: Path) -> None:
        from hemix.features.transform import TransformGraph
        from hemix.models.versions.inference import Scorer

        self.folder = folder
        self.scorer: Scorer = Scorer.load(folder)
        self.graph: TransformGraph = TransformGraph.load(folder / "transform")
        loaded = self.scorer.version
        assert loaded is not None
        self.manifest: Manifest = loaded.manifest

    def __repr__(self) -> str:
        return f"Version({self.manifest.version!r}, ranker={self.manifest.ranker!r})"

    @property
    def spec(self) -> FeatureSpec:
        return self.scorer.spec

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.spec.tasks)

    @property
    def columns(self) -> dict[str, str]:
        """The raw columns that `predict` needs, and the type of each."""
        from hemix.features.frames.reading import type_name

        return {column.name: type_name(column) for column in self.graph.inputs()}

    def predict(self, frame: Any, *, as_served: bool = True) -> Any:
        """Probabilities of each task for each raw row, through the version's own transform.

        Raw rows are those that ``build_examples`` writes: keys, context, attributes, counters,
        and sequences as the log has them (`columns`). Statistics within the request may be left out
        where ``request_id``, or ``user_id`` and ``event_time``, say which rows are of one request:
        they are made of those rows, as the endpoint makes them of the candidates. Other columns
        are not looked at. Missing values may be None, NaN or the frame's own null.

        Args:
            frame: a pandas or polars DataFrame, or a pyarrow Table.
            as_served: score fields that have a ``serve_as`` at that value, as the endpoint does;
                False: at their own values.

        Returns:
            One float32 column per task, of the same kind as ``frame``, in its order; a pandas
            frame keeps its index.

        Raises:
            DataError: columns are absent (all are named), the rows of a request cannot be told, or a
                column is of a type that would change values.
        """
        from hemix.features.frames.of_requests import raw_rows
        from hemix.features.frames.reading import like
        from hemix.features.served_as import examples_as_served

        table = raw_rows(frame, self.graph.inputs(), self.graph.definition)
        if as_served:
            table = examples_as_served(self.graph.definition, table)
        return like(frame, self._scores(table))

    def pictures(self, frame: Any = None, *, first: int = 8) -> tuple[Picture, ...]:
        """What can be looked at inside the ranker: of its weights, and of rows when there are some.

        Args:
            frame: raw rows as :meth:`predict` takes them; None: the weights alone.
            first: how many of them are looked at, from the first.

        Raises:
            DataError: columns are absent (all are named), or of a type that would change values.
            DefinitionError: the ranker has nothing to show, or nothing without rows.
        """
        from hemix.components.explain.looking import pictures_of_version

        return pictures_of_version(self.scorer.ranker, self.graph, frame, first=first)

    def _scores(self, table: pa.Table) -> dict[str, Any]:
        from hemix.models.versions.inference import predict_table

        return predict_table(self.scorer, self.graph.apply_table(table))


def _folder_of(place: str | Path, version: str) -> Path:
    from hemix.models.versions.version import MANIFEST
    from hemix.serving.registry.opening import find_registry

    if not is_remote(place) and (Path(place) / MANIFEST).exists():
        if version and version != Path(place).resolve().name:
            raise ModelVersionError(f"{place} is one version, and not {version!r}.")
        return Path(place)
    registry = find_registry(place)
    wanted = version or registry.state().champion
    if wanted is None:
        raise RegistryError(f"{place} has no champion yet.", hint="Name one of its versions.")
    return registry.folder(wanted)
