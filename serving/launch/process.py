"""What every role's process does alike: ports, logging, threads, and a server until it is told to stop."""

from __future__ import annotations

import gc
import logging
import socket
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hemix.features.transform.engine import tensorflow
from hemix.serving.launch.ports import take_port

if TYPE_CHECKING:
    from hemix.serving.admission.room import Gate
    from hemix.serving.admission.threaded_model import ThreadedModel


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where a process listens and how much it takes on.

    Args:
        http_port, grpc_port: 0 is any free port.
        workers: requests worked on at the same time; threads: torch's and TensorFlow's own, each.
        timeout_s: deadline of a request that brings none; what may wait follows from it
            (:mod:`hemix.serving.admission.room`).
        max_bytes: bodies held at the same time.
        grace_s: time that requests under way have when the process is told to stop.
    """

    host: str = "127.0.0.1"
    http_port: int = 8080
    grpc_port: int = 8081
    workers: int = 2
    threads: int = 1
    timeout_s: float = 5.0
    max_bytes: int = 32 << 20
    grace_s: int = 10

    def gate(self) -> Gate:
        """Who may come in."""
        from hemix.serving.admission.room import Gate

        return Gate(timeout_s=self.timeout_s, workers=self.workers, max_bytes=self.max_bytes)


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Ports that are ours before anything slow is done."""

    http: socket.socket
    probe: socket.socket

    @staticmethod
    def take(listening: Listening) -> Ports:
        """Raises EnvironmentProblem: a port is in use; names it."""
        return Ports(
            http=take_port(listening.host, listening.http_port, option="--port"),
            probe=take_port(listening.host, listening.grpc_port, option="--grpc-port"),
        )

    @property
    def http_port(self) -> int:
        return int(self.http.getsockname()[1])

    @property
    def grpc_port(self) -> int:
        return int(self.probe.getsockname()[1])


def addresses(listening: Listening, ports: Ports, name: str, *, v1: bool) -> str:
    """The lines that say where a model answers."""
    base = f"http://{listening.host}:{ports.http_port}"
    lines = [f"  V1   {base}/v1/models/{name}:predict"] if v1 else []
    return "\n".join(
        [
            *lines,
            f"  V2   {base}/v2/models/{name}/infer",
            f"  gRPC {listening.host}:{ports.grpc_port}",
            f"  metrics {base}/metrics",
        ]
    )


def run_server(
    model: ThreadedModel, listening: Listening, ports: Ports, *, body_limit: int | None = None
) -> None:
    """Answer until SIGTERM or SIGINT; requests under way are answered first."""
    from hemix.serving.admission.limits import MAX_BODY_BYTES
    from hemix.serving.protocol.server import RankerServer

    grpc_port = ports.grpc_port
    ports.probe.close()
    server = RankerServer(
        http=ports.http,
        host=listening.host,
        grpc_port=grpc_port,
        grace_s=listening.grace_s,
        body_limit=body_limit or MAX_BODY_BYTES,
        gate=model.gate,
    )
    allow_connections()
    # What is loaded lives as long as the process: without it a full collection costs milliseconds
    # and not hundreds of them, in the middle of someone's request.
    gc.collect()
    gc.freeze()
    try:
        server.start([model])
    finally:
        ports.http.close()
        model.close()


def allow_connections() -> None:
    """As many open files as the system lets this process have, up to what connections need."""
    import resource

    from hemix.serving.admission.connections import MAX_CONNECTIONS

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit_threads(threads: int) -> None:
    """Small graphs and small batches: more threads than this only wait for each other."""
    import torch

    tf = tensorflow()
    torch.set_num_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def log_to_stderr() -> None:
    """Our log on standard error, without kserve's line a request."""
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
