"""The endpoint split as on Kubernetes: a predictor a version and a transformer, as processes."""

from __future__ import annotations

import contextlib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hemix.serving.registry.opening import registry_at
from hemix.serving.two_roles.routing_table import Predictors
from tests.serving.live import Endpoint, Workshop, ended, hemix_serve, started, wait_ready


@dataclass(frozen=True)
class Split:
    """A transformer, the predictors that it asks, and the file that tells it of them.

    ``alone``: what the transformer answered before there was any predictor, the status by path.
    """

    root: Path
    transformer: Endpoint
    predictors: dict[str, Endpoint]
    file: Path
    alone: dict[str, int]


def free_port() -> int:
    """A port that was free a moment ago, so that others can be told of it before it is taken."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def start_predictor(workshop: Workshop, root: Path, version: str, port: int) -> Iterator[Endpoint]:
    """A predictor of one of the workshop's versions; still starting."""
    log = root / f"predictor-{version}.log"
    model = str(workshop.model(version))
    options = (
        *("--role", "predictor", "--model", model, "--port", str(port), "--grpc-port", "0"),
        *("--timeout", "60"),
    )
    process = hemix_serve(*options, cwd=root, log=log)
    with ended(process):
        yield Endpoint(root, process, f"http://127.0.0.1:{port}", "", log)


def write_predictors(file: Path, registry: str | Path, urls: dict[str, str]) -> None:
    """The predictors file that says what the registry says."""
    file.write_text(Predictors.of(registry_at(str(registry)).state(), urls).to_yaml())


def transformer_options(store: Path, root: Path, file: Path) -> tuple[str, ...]:
    """Options of a transformer over the feature store in ``store`` that writes to ``root``."""
    return (
        *("--role", "transformer", "--predictors", str(file), "--deadline", "30"),
        *("--timeout", "60"),
        *("--features", str(store / "feature_store"), "--exposures", str(root / "exposures")),
    )


@contextlib.contextmanager
def start_split(
    workshop: Workshop, store: Path, root: Path, versions: tuple[str, ...]
) -> Iterator[Split]:
    """Predictors of ``versions`` and a transformer over the registry and feature store in ``store``.

    The transformer starts first, and waits for the champion's predictor.
    """
    ports = {version: free_port() for version in versions}
    file = root / "predictors.yaml"
    write_predictors(
        file, store / "registry", {v: f"http://127.0.0.1:{p}" for v, p in ports.items()}
    )
    options = transformer_options(store, root, file)
    with contextlib.ExitStack() as stack:
        transformer = stack.enter_context(started(root, *options, log=root / "transformer.log"))
        alone = _asked(transformer)
        predictors = {
            version: stack.enter_context(start_predictor(workshop, root, version, port))
            for version, port in ports.items()
        }
        for endpoint in (*predictors.values(), transformer):
            wait_ready(endpoint)
        yield Split(root, transformer, predictors, file, alone)


def _asked(transformer: Endpoint) -> dict[str, int]:
    """Statuses, once it listens and says that it waits."""
    deadline = time.monotonic() + 240
    live = f"{transformer.url}/v2/health/live"
    while "Not ready yet" not in transformer.log.read_text() or status(live) != 200:
        assert time.monotonic() < deadline, transformer.log.read_text()
        time.sleep(0.1)
    ready = ("/v2/health/live", "/v2/health/ready", "/v2/models/ranker/ready")
    found = {path: status(f"{transformer.url}{path}") for path in ready}
    return {**found, "predict": transformer.v1({"user_id": 7, "item_ids": [1]})[0]}


def status(url: str) -> int:
    """The status of a GET; 0 when nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return 0
