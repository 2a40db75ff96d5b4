"""The parameters of hemix's pipelines, from what a person says on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from hemix import storage
from hemix.components.monitor.policy import MonitorPolicy
from hemix.components.plan.naming import feature_service, version_name, without_split
from hemix.components.validate_model.policy import Policy
from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.pipelines.overrides import Overrides, check_recipe
from hemix.pipelines.retention import Retention
from hemix.revision import revision
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.registry.opening import open_registry
from hemix.texts.documents import read, text_of, value_of
from hemix.texts.placeholders import as_parameter, refuse_placeholders

Inputs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was said. ``root`` is the location of registry, feature store and checkpoints.

    Empty values were not said. ``paths_in_pods``: local paths are those of a volume in the pods.
    ``publishes_every_s``: the interval of the schedule that this is for; what a definition that says
    no ``sequences.serving_lag`` is evaluated with.
    """

    overrides: Overrides
    dataset: str | Path = "kuairand"
    recipe: str = ""
    root: str = ""
    policy: Path | None = None
    share: float | None = None
    online_store: str = ""
    runner_options: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    destination: str = ""
    paths_in_pods: bool = False
    publishes_every_s: int = 0


def arguments_of(
    pipeline: str, inputs: Inputs, wanted: Wanted, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of a run: those that follow from ``wanted``, and ``given`` over them.

    A parameter with a default that nothing was said about is left to the pipeline.

    Args:
        pipeline: its name, for errors.
        inputs: the parameters it declares (:func:`hemix.pipelines.kfp_client.spec.inputs_of`).
        wanted: what was said by name.
        given: what was said as ``--param``.

    Raises:
        DefinitionError: a value cannot be used, or a location cannot be reached from the cluster.
        DataError: the log's files are not there.
    """
    if wanted.policy is not None and "policy" not in inputs:
        raise DefinitionError(f"Pipeline {pipeline} takes no --policy.")
    known = _Known(pipeline, inputs, wanted)
    made = {
        name: getattr(known, name)
        for name in inputs
        if name not in given and isinstance(getattr(_Known, name, None), cached_property)
    }
    found = {**{name: value for name, value in made.items() if value is not None}, **given}
    refuse_placeholders(found)
    return found


def parse_parameters(pairs: Iterable[str], inputs: Inputs, pipeline: str) -> dict[str, Any]:
    """``KEY=VALUE`` texts as values of the types that the pipeline declares.

    ``KEY=@FILE`` takes the value from a file; ``KEY.INNER=VALUE`` sets one entry of a mapping.

    Raises:
        DefinitionError: no ``=``, no such parameter or file, or not YAML.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise DefinitionError(f"--param {pair!r}: write KEY=VALUE.")
        outer, dot, inner = name.partition(".")
        mapping = bool(dot) and inputs.get(outer, {}).get("parameterType") == "STRUCT"
        if name not in inputs and not mapping:
            raise DefinitionError(
                f"Pipeline {pipeline} has no parameter {name!r}.",
                hint=f"It has: {', '.join(sorted(inputs))}.",
            )
        text = _content(name, value[1:]) if value.startswith("@") else value
        if mapping:
            found[outer] = {**found.get(outer, {}), inner: text}
        else:
            found[name] = _value(name, text, str(inputs[name].get("parameterType", "")))
    return found


def _content(name: str, path: str) -> str:
    try:
        return text_of(Path(path))
    except DefinitionError as error:
        raise DefinitionError(f"--param {name}: {error.message}", hint=error.hint) from error


def _value(name: str, value: str, kind: str) -> Any:
    if kind == "STRING":
        return value
    parsed = value_of(value, f"--param {name}")
    if kind == "NUMBER_DOUBLE" and isinstance(parsed, int) and not isinstance(parsed, bool):
        return float(parsed)
    return parsed


class _Known:
    """One property for each parameter that hemix's pipelines share; None when nothing was said."""

    def __init__(self, pipeline: str, inputs: Inputs, wanted: Wanted) -> None:
        self._pipeline = pipeline
        self._inputs = inputs
        self._wanted = wanted

    # ---- the data ------------------------------------------------------------------------------

    @cached_property
    def _dataset(self) -> DatasetDefinition:
        said = self._wanted.overrides.definition
        found = DatasetDefinition.load(self._wanted.dataset, said)
        if found.sequences.serving_lag is None and self._wanted.publishes_every_s:
            lag = {"sequences.serving_lag": self._wanted.publishes_every_s}
            found = DatasetDefinition.load(self._wanted.dataset, {**said, **lag})
        if not storage.is_remote(found.root) and not self._wanted.paths_in_pods:
            raise DefinitionError(
                f"The log of {found.name} is in {found.root}, on this machine.",
                hint="Give its place in an object store, --set root=s3://BUCKET/PREFIX, or say "
                "--paths-in-pods when a volume of the pods has it at this path.",
            )
        return found

    @cached_property
    def definition(self) -> str:
        return self._dataset.to_json()

    @cached_property
    def events_definition(self) -> str:
        return without_split(self._dataset).to_json()

    @cached_property
    def source_fingerprint(self) -> str:
        from hemix.features.sources.tables import fingerprint

        return fingerprint(self._dataset)

    @cached_property
    def first(self) -> str | None:
        return self._wanted.first or None

    @cached_property
    def last(self) -> str | None:
        return self._wanted.last or None

    @cached_property
    def destination(self) -> str:
        return self._wanted.destination or self._at("examples")

    @cached_property
    def runner_options(self) -> list[str] | None:
        return list(self._wanted.runner_options) or None

    # ---- the model -----------------------------------------------------------------------------

    @cached_property
    def recipe(self) -> str | None:
        if self._wanted.recipe or self._wanted.overrides.recipe:
            tasks = self._dataset.tasks if "definition" in self._inputs else None
            check_recipe(self._recipe, self._wanted.overrides.recipe, tasks)
        return self._recipe if self._wanted.recipe else None

    @cached_property
    def _recipe(self) -> str:
        """As the cluster understands it: a file's content, not its name."""
        from hemix.models.training.recipes import portable

        wanted = self._wanted.recipe or str(self._inputs["recipe"].get("defaultValue", ""))
        return portable(wanted)

    @cached_property
    def overrides(self) -> dict[str, str] | None:
        return self._wanted.overrides.recipe or None

    @cached_property
    def revision(self) -> str:
        return revision()

    @cached_property
    def version(self) -> str:
        return version_name(
            self._dataset,
            self._recipe,
            self._wanted.overrides.recipe,
            self.source_fingerprint,
            self.revision,
        )

    @cached_property
    def feature_service(self) -> str:
        return feature_service(self.version)

    @cached_property
    def policy(self) -> str | None:
        """The policy's text, once it has been read as this pipeline's step will read it."""
        path = self._wanted.policy
        if path is None:
            return None
        if self._pipeline == "experiment":
            ExperimentPolicy.load(path)
        elif self._pipeline == "monitoring":
            MonitorPolicy.load(path)
        elif self._pipeline == "cleaning":
            Retention.load(path)
        else:
            Policy.load(path, self._dataset.tasks if "definition" in self._inputs else None)
        return as_parameter(read(path, "a policy").value)

    # ---- places and deployment -----------------------------------------------------------------

    @cached_property
    def registry(self) -> str:
        return self._at("registry")

    @cached_property
    def feature_store(self) -> str | None:
        if not self._wanted.root and self._pipeline == "cleaning":
            return None  # which then leaves it alone
        return self._at("feature_store")

    @cached_property
    def exposures(self) -> str:
        return self._at("exposures")

    @cached_property
    def pipeline_root(self) -> str | None:
        return self._at("pipeline") if self._wanted.root else None

    @cached_property
    def checkpoints(self) -> str:
        below = self._at("checkpoints")
        return storage.join(below, self.version) if "version" in self._inputs else below

    @cached_property
    def champion(self) -> str | None:
        if "version" not in self._inputs:
            return None
        store = open_registry(self.registry)
        name = store.state().champion
        return store.location_of(name) if name and name != self.version else None

    @cached_property
    def share(self) -> float | None:
        share = self._wanted.share
        if share is not None and not 0 <= share < 1:
            raise DefinitionError(
                f"--share {share}: the share of a challenger is at least 0 and below 1."
            )
        return share

    @cached_property
    def online_store(self) -> str | None:
        return self._wanted.online_store or None

    @cached_property
    def deployment_key(self) -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")

    def _at(self, part: str) -> str:
        root = self._wanted.root
        if not root:
            raise DefinitionError(
                f"Pipeline {self._pipeline} needs --root, under which registry, features and "
                "checkpoints of all runs lie.",
                hint="For example --root s3://BUCKET/PREFIX, or set HEMIX_ROOT.",
            )
        if not storage.is_remote(root) and not self._wanted.paths_in_pods:
            raise DefinitionError(
                f"--root {root} is on this machine; the cluster cannot reach it.",
                hint="Give an object store, --root s3://BUCKET/PREFIX, or say --paths-in-pods when "
                "a volume of the pods has it at this path.",
            )
        return storage.join(root, part)
