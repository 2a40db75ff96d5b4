"""Start the endpoint: take the ports, load the live versions, warm them, serve, shut down cleanly."""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hemix.errors import FeatureStoreError
from hemix.progress import say
from serving.experiments.live import LiveExperiments
from serving.exposures import ExposureLog
from serving.kserving import import_kserve
from serving.pool import VersionPool
from serving.ports import take_port
from serving.ranker import Ranker
from serving.registry import Registry, require_registry
from serving.version import load_version


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How the endpoint runs.

    Args:
        models: the registry's folder.
        features: the live feature store's folder.
        exposures: folder of exposure files, or an ``s3://`` prefix; None writes none.
        experiments: file of the layers beside the model layer, followed; None has no such layers.
        http_port, grpc_port: 0 is any free port.
        workers: requests worked on at the same time; threads: torch's and TensorFlow's own, each.
        watch_s: how often the registry is looked at.
        store_timeout_s: deadline of a feature store read.
        item_cache_s: seconds for which an item's row is kept; items change when a pipeline publishes.
        max_waiting: requests that may wait; more get 503.
        grace_s: time that requests under way have when the endpoint is told to stop.
    """

    models: Path
    features: Path
    exposures: str | None
    experiments: Path | None = None
    host: str = "127.0.0.1"
    http_port: int = 8080
    grpc_port: int = 8081
    workers: int = 2
    threads: int = 1
    watch_s: float = 2.0
    store_timeout_s: float = 0.25
    item_cache_s: float = 60.0
    max_waiting: int = 128
    grace_s: int = 10


def serve(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        EnvironmentProblem: a port is in use.
        RegistryError: nothing is deployed.
        ModelVersionError: the champion is not what its manifest says.
        FeatureStoreError: there is no live feature store.
    """
    _log_to_stderr()
    registry = require_registry(config.models)
    if not config.features.is_dir():
        raise FeatureStoreError(
            f"{config.features} is not a live feature store.",
            hint="Deploy a version first (hemix run), or pass --features DIR.",
        )
    http = take_port(config.host, config.http_port, option="--port")
    probe = take_port(config.host, config.grpc_port, option="--grpc-port")
    grpc_port = probe.getsockname()[1]
    _check_champion(registry)
    experiments = LiveExperiments(config.experiments)
    say("serve: loading the live versions")
    import_kserve()
    from serving.endpoint import MODEL_NAME, RankerModel
    from serving.server import RankerServer

    _limit_threads(config.threads)
    load = partial(
        load_version,
        store=config.features,
        timeout_s=config.store_timeout_s,
        item_cache_s=config.item_cache_s,
    )
    pool = VersionPool(registry, load=load)
    pool.watch(config.watch_s)
    experiments.watch(config.watch_s)
    exposures = ExposureLog(config.exposures) if config.exposures else None
    model = RankerModel(
        Ranker(pool, exposures, experiments), workers=config.workers, max_waiting=config.max_waiting
    )
    probe.close()
    server = RankerServer(http=http, host=config.host, grpc_port=grpc_port, grace_s=config.grace_s)
    arms = ", ".join(f"{v.name} {v.version}" for v in pool.live.variants)
    say(
        f"serve: {MODEL_NAME} with {arms}\n"
        f"  V1   http://{config.host}:{server.http_port}/v1/models/{MODEL_NAME}:predict\n"
        f"  V2   http://{config.host}:{server.http_port}/v2/models/{MODEL_NAME}/infer\n"
        f"  gRPC {config.host}:{grpc_port}\n"
        f"  metrics http://{config.host}:{server.http_port}/metrics"
    )
    # What is loaded lives as long as the process: without it a full collection costs milliseconds
    # and not hundreds of them, in the middle of someone's request.
    gc.collect()
    gc.freeze()
    try:
        server.start([model])
    finally:
        http.close()
        model.close()
        pool.close()
        experiments.close()
        if exposures is not None:
            exposures.close()
    say("serve: stopped")


def _check_champion(registry: Registry) -> None:
    """What is wrong with the champion's files is said before anything slow is imported."""
    from models.version import verify

    champion = registry.state().champion
    assert champion is not None
    verify(registry.folder(champion))


def _limit_threads(threads: int) -> None:
    """Small graphs and small batches: more threads than this only wait for each other."""
    import tensorflow as tf
    import torch

    torch.set_num_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _log_to_stderr() -> None:
    logger = logging.getLogger("hemix")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    # kserve says every start-up step and every refused request, with a traceback.
    logging.getLogger("kserve").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
