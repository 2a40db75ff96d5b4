"""Start the endpoint: take the ports, load the live versions, warm them, serve, shut down cleanly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hemix.errors import HemixError
from hemix.progress import say
from hemix.serving.experiments.live import LiveExperiments
from hemix.serving.exposures.log import ExposureLog
from hemix.serving.launch.events import EventsConfig, open_desk
from hemix.serving.launch.process import (
    Listening,
    Ports,
    addresses,
    limit_threads,
    log_to_stderr,
    run_server,
)
from hemix.serving.monitoring.monitor import Monitor, MonitorConfig
from hemix.serving.protocol.kserving import import_kserve
from hemix.serving.ranking.loaded_version import LoadedVersion, load_version, require_store
from hemix.serving.ranking.loading import Loader
from hemix.serving.ranking.pool import VersionPool, newest_feature_timestamps
from hemix.serving.ranking.service import LocalRanker
from hemix.serving.registry.opening import require_registry
from hemix.serving.registry.registry import Registry
from hemix.serving.registry.signing import require_signed


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How the endpoint runs.

    Args:
        listening: where it listens and how much it takes on.
        models: the registry, a folder or an ``s3://`` prefix.
        features: the live feature store, a folder or an ``s3://`` prefix.
        exposures: folder of exposure files, or an ``s3://`` prefix; None writes none.
        monitor: how it watches itself.
        experiments: file of the layers beside the model layer, followed; None has no such layers.
        events: where live events are kept; None takes none.
        watch_s: how often the registry is looked at.
        store_timeout_s: deadline of a feature store read.
        item_cache_s: seconds for which an item's row is kept; items change when a pipeline publishes.
    """

    models: str
    features: str
    exposures: str | None
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    listening: Listening = field(default_factory=Listening)
    experiments: Path | None = None
    events: EventsConfig | None = None
    watch_s: float = 2.0
    store_timeout_s: float = 0.25
    item_cache_s: float = 60.0


def serve(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        EnvironmentProblem: a port is in use.
        RegistryError: nothing is deployed.
        ModelVersionError: the champion is not what its manifest says.
        FeatureStoreError: there is no live feature store.
    """
    log_to_stderr()
    registry = require_registry(config.models)
    require_store(config.features)
    listening = config.listening
    ports = Ports.take(listening)
    _check_champion(registry)
    experiments = LiveExperiments(config.experiments)
    say("serve: loading the live versions")
    import_kserve()
    from hemix.serving.protocol.endpoint import MODEL_NAME, RankerModel

    limit_threads(listening.threads)

    desk = open_desk(config.events, config.features)

    def load(version: str) -> LoadedVersion:
        return load_version(
            registry.folder(version),
            store=config.features,
            timeout_s=config.store_timeout_s,
            item_cache_s=config.item_cache_s,
            events=desk,
        )

    pool = VersionPool(registry, Loader(load, files=registry.files))
    pool.watch(config.watch_s)
    experiments.watch(config.watch_s)
    monitor = Monitor(config.monitor, newest=lambda: newest_feature_timestamps(pool))
    exposures = ExposureLog(config.exposures) if config.exposures else None
    model = RankerModel(
        LocalRanker(pool, exposures, experiments, monitor),
        workers=listening.workers,
        gate=listening.gate(),
        desk=desk,
    )
    monitor.start()
    if desk is not None:
        desk.watch()
    live = pool.live
    arms = ", ".join(f"{v.name} {v.version}" for v in live.variants if v.version in live.versions)
    say(f"serve: {MODEL_NAME} with {arms}\n{addresses(listening, ports, MODEL_NAME, v1=True)}")
    try:
        run_server(model, listening, ports)
    finally:
        pool.close()
        monitor.close()
        experiments.close()
        if desk is not None:
            desk.close()
        if exposures is not None:
            exposures.close()
    say("serve: stopped")


def _check_champion(registry: Registry) -> None:
    """What is wrong with the champion's files is said before anything slow is imported.

    When there was a champion before it, loading decides which of them serves.
    """
    from hemix.models.versions.version import verify

    state = registry.state()
    assert state.champion is not None
    try:
        folder = registry.folder(state.champion)
        require_signed(folder)
        verify(folder)
    except HemixError as error:
        if not set(state.champions) - {state.champion}:
            raise
        say(f"serve: the champion cannot be used: {error}")
