"""What a run will do, decided before it starts: definition, version, baseline, parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hemix.components.plan.naming import feature_service, this_machine, version_name, without_split
from hemix.components.validate_model.policy import policy_text
from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.features.store.settings import online_settings
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord
from hemix.pipelines.overrides import Overrides, check_recipe
from hemix.revision import revision
from hemix.serving.registry.opening import open_registry
from hemix.storage import read_bytes
from hemix.texts.placeholders import refuse_placeholders


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What the user asked for."""

    dataset: str | Path
    recipe: str
    overrides: Overrides
    folder: RunFolder
    fresh: bool = False
    policy: Path | None = None
    share: float = 0.1
    online_store: str = "sqlite"
    runner_options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A request made definite; ``arguments`` are those of the training pipeline, ``lines`` those of
    the definition's keys in its file.
    """

    request: RunRequest
    definition: DatasetDefinition
    lines: dict[str, int]
    version: str
    baseline: str | None
    deployment_key: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A request without fault, and the version that it makes. ``lines``: of the definition's keys."""

    request: RunRequest
    definition: DatasetDefinition
    lines: dict[str, int]
    policy: str
    source: str
    code: str
    recipe: str
    version: str


def checked(request: RunRequest) -> Checked:
    """Check the request and name the version it makes; reads, and makes nothing.

    The version's name is a hash of all that makes it: definition, recipe, the log's files, the code
    and what of this machine changes weights.

    Raises:
        DefinitionError: the definition, recipe, policy or an override cannot be used.
        DataError: the log's files are not there.
        StorageError: a file lies where the output folder has to be.
    """
    from hemix.features.sources.tables import fingerprint
    from hemix.models.training.recipes import portable

    request.folder.check_place()
    definition = DatasetDefinition.load(request.dataset, request.overrides.definition)
    policy = policy_text(request.policy, definition.tasks) if request.policy else ""
    _check_deployment(request)
    source = fingerprint(definition)
    code = revision()
    recipe = portable(request.recipe)
    version = version_name(
        definition, recipe, request.overrides.recipe, source, code, machine=this_machine()
    )
    if _earlier(request.folder, version) is None:
        check_recipe(recipe, request.overrides.recipe, definition.tasks, here=True)
    return Checked(
        request=request,
        definition=definition,
        lines=DatasetDefinition.lines(request.dataset),
        policy=policy,
        source=source,
        code=code,
        recipe=recipe,
        version=version,
    )


def plan(found: Checked) -> RunPlan:
    """What the run will do.

    The baseline is the registry's champion, or, for a version that the registry already holds, the
    one it was compared with when it was made.
    """
    request, definition, version = found.request, found.definition, found.version
    folder = request.folder
    registry = open_registry(folder.registry)
    earlier = _earlier(folder, version)
    baseline = earlier.baseline if earlier else registry.state().champion
    if baseline == version:
        baseline = None
    key = earlier.deployment_key if earlier else datetime.now(UTC).isoformat(timespec="seconds")
    arguments = {
        "definition": definition.to_json(),
        "events_definition": without_split(definition).to_json(),
        "source_fingerprint": found.source,
        "version": version,
        "feature_service": feature_service(version),
        "revision": found.code,
        "registry": folder.registry,
        "feature_store": folder.feature_store,
        "checkpoints": folder.checkpoints(version),
        "recipe": found.recipe,
        "overrides": request.overrides.recipe,
        "champion": registry.location_of(baseline) if baseline else "",
        "policy": found.policy,
        "share": request.share,
        # Who runs it here by hand means it.
        "running_experiment": "replace",
        "online_store": request.online_store,
        "runner_options": list(request.runner_options),
        "deployment_key": key,
        "record": folder.record_of(version),
    }
    refuse_placeholders(arguments)
    return RunPlan(
        request=request,
        definition=definition,
        lines=found.lines,
        version=version,
        baseline=baseline,
        deployment_key=key,
        arguments=arguments,
    )


def _earlier(folder: RunFolder, version: str) -> RunRecord | None:
    """The run that made the version, when the registry holds it."""
    if version not in open_registry(folder.registry).state().versions:
        return None
    place = folder.record_of(version)
    return None if read_bytes(place) is None else RunRecord.read(place)


def _check_deployment(request: RunRequest) -> None:
    """Refuse now what the deployment would refuse at the end."""
    if not 0 <= request.share < 1:
        raise DefinitionError(
            f"--share {request.share}: the share of a challenger is at least 0 and below 1."
        )
    online_settings(request.online_store)
