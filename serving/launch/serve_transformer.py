"""``hemix serve --role transformer``: everything but the models, which predictors serve."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hemix.errors import HemixError
from hemix.progress import say
from hemix.serving.events.desk import EventDesk
from hemix.serving.experiments.live import LiveExperiments
from hemix.serving.exposures.log import ExposureLog
from hemix.serving.launch.events import EventsConfig, open_desk
from hemix.serving.launch.process import Listening, Ports, addresses, log_to_stderr, run_server
from hemix.serving.monitoring.monitor import Monitor, MonitorConfig
from hemix.serving.protocol.kserving import import_kserve
from hemix.serving.ranking.loaded_version import require_store
from hemix.serving.ranking.loading import Loader
from hemix.serving.ranking.pool import VersionPool, newest_feature_timestamps
from hemix.serving.two_roles.contract import fetch_contract
from hemix.serving.two_roles.predictor_client import PredictorCalls
from hemix.serving.two_roles.remote_ranker import RemoteRanker, load_remote
from hemix.serving.two_roles.routing_table import PredictorsFile

if TYPE_CHECKING:
    from hemix.serving.two_roles.remote_ranker import RemoteVersion
    from hemix.serving.two_roles.transformer_model import TransformerModel

logger = logging.getLogger("hemix.serving")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """How a transformer runs.

    Args:
        predictors: the predictors file, followed as it changes.
        features: the live feature store, a folder or an ``s3://`` prefix.
        exposures: folder of exposure files, or an ``s3://`` prefix; None writes none.
        monitor: how it watches itself.
        experiments: file of the layers beside the model layer, followed; None has no such layers.
        events: where live events are kept; None takes none.
        watch_s: how often the files are looked at.
        store_timeout_s: deadline of a feature store read.
        item_cache_s: seconds for which an item's row is kept.
        deadline_s: longest time that a predictor may take, a retry included.
        retry_s: pause between two attempts to begin while no champion answers.
    """

    predictors: Path
    features: str
    exposures: str | None
    listening: Listening
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    experiments: Path | None = None
    events: EventsConfig | None = None
    watch_s: float = 2.0
    store_timeout_s: float = 0.25
    item_cache_s: float = 60.0
    deadline_s: float = 1.0
    retry_s: float = 1.0


def serve_transformer(config: TransformerConfig) -> None:
    """Serve until SIGTERM or SIGINT. Not ready before the champion's predictor has answered.

    Raises:
        EnvironmentProblem: a port is in use.
        RegistryError: the predictors file cannot be used.
        FeatureStoreError: there is no live feature store.
    """
    log_to_stderr()
    file = PredictorsFile(config.predictors)
    file.predictors()
    require_store(config.features)
    ports = Ports.take(config.listening)
    experiments = LiveExperiments(config.experiments)
    import_kserve()
    from hemix.serving.protocol.endpoint import MODEL_NAME
    from hemix.serving.two_roles.transformer_model import TransformerModel

    listening = config.listening
    desk = open_desk(config.events, config.features)
    model = TransformerModel(workers=listening.workers, gate=listening.gate(), desk=desk)
    exposures = ExposureLog(config.exposures) if config.exposures else None
    calls = PredictorCalls(deadline_s=config.deadline_s)
    beginning = _Beginning(config, file, model, exposures, experiments, calls, desk)
    beginning.start()
    if desk is not None:
        desk.watch()
    experiments.watch(config.watch_s)
    say(
        f"serve: {MODEL_NAME}, transformer alone, predictors of {config.predictors}\n"
        f"{addresses(listening, ports, MODEL_NAME, v1=True)}"
    )
    try:
        run_server(model, listening, ports)
    finally:
        beginning.close()
        experiments.close()
        if desk is not None:
            desk.close()
        if exposures is not None:
            exposures.close()
    say("serve: stopped")


class _Beginning(threading.Thread):
    """Makes the model ready as soon as the champion's predictor answers, however late that is."""

    def __init__(
        self,
        config: TransformerConfig,
        file: PredictorsFile,
        model: TransformerModel,
        exposures: ExposureLog | None,
        experiments: LiveExperiments,
        calls: PredictorCalls,
        desk: EventDesk | None,
    ) -> None:
        super().__init__(name="beginning", daemon=True)
        self._config, self._file, self._model = config, file, model
        self._exposures, self._experiments, self._calls = exposures, experiments, calls
        self._desk = desk
        self._stop_now = threading.Event()
        self._said = ""
        self._pool: VersionPool[RemoteVersion] | None = None
        self._monitor = Monitor(config.monitor, newest=self._newest)
        # One for all attempts, so that what loaded is kept and what did not rests.
        self._loader = Loader(self._load, files=file.url, retry_s=5.0, longest_s=60.0)

    def run(self) -> None:
        while (pool := self._attempt()) is None:
            if self._stop_now.wait(self._config.retry_s):
                return
        pool.watch(self._config.watch_s)
        self._pool = pool
        self._monitor.start()
        ranker = RemoteRanker(
            pool, self._exposures, self._experiments, self._monitor, calls=self._calls
        )
        self._model.begin(ranker)
        arms = ", ".join(f"{v.name} {v.version}" for v in pool.live.variants)
        logger.info("Ready: %s.", arms)

    def close(self) -> None:
        """Stop trying, or stop following the predictors file."""
        self._stop_now.set()
        self.join(timeout=30)
        if self._pool is not None:
            self._pool.close()
            self._monitor.close()

    def _newest(self) -> dict[str, float]:
        return newest_feature_timestamps(self._pool) if self._pool is not None else {}

    def _load(self, version: str) -> RemoteVersion:
        return load_remote(
            version,
            file=self._file,
            store=self._config.features,
            timeout_s=self._config.store_timeout_s,
            item_cache_s=self._config.item_cache_s,
            wants=self._monitor.wants,
            events=self._desk,
        )

    def _attempt(self) -> VersionPool[RemoteVersion] | None:
        try:
            champion = self._file.state().champion
            assert champion is not None
            fetch_contract(self._file.url(champion), champion, timeout_s=5.0)
            return VersionPool(self._file, self._loader)
        except HemixError as error:
            if str(error) != self._said:  # and not once per second
                logger.warning("Not ready yet: %s", error)
            self._said = str(error)
        except Exception:  # whatever it is, the next attempt may find it mended
            logger.exception("Not ready yet.")
        return None
