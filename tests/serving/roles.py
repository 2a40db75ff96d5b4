"""The endpoint split as on Kubernetes: a predictor a version and a transformer, as processes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.predictors import Predictors
from serving.registry import registry_at
from tests.serving.live import Endpoint, Workshop, ended, hemix_serve, started, wait_ready


@dataclass(frozen=True)
class Split:
    """A transformer, the predictors that it asks, and the file that tells it of them."""

    root: Path
    transformer: Endpoint
    predictors: dict[str, Endpoint]
    file: Path


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
    options = ("--role", "predictor", "--model", model, "--port", str(port), "--grpc-port", "0")
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
        *("--features", str(store / "feature_store"), "--exposures", str(root / "exposures")),
    )


@contextlib.contextmanager
def start_split(
    workshop: Workshop, store: Path, root: Path, versions: tuple[str, ...]
) -> Iterator[Split]:
    """Predictors of ``versions`` and a transformer over the registry and feature store in ``store``.

    All start at the same time: the transformer waits for the champion's predictor.
    """
    with contextlib.ExitStack() as stack:
        predictors = {
            version: stack.enter_context(start_predictor(workshop, root, version, free_port()))
            for version in versions
        }
        file = root / "predictors.yaml"
        write_predictors(
            file, store / "registry", {name: found.url for name, found in predictors.items()}
        )
        options = transformer_options(store, root, file)
        transformer = stack.enter_context(started(root, *options, log=root / "transformer.log"))
        for endpoint in (*predictors.values(), transformer):
            wait_ready(endpoint)
        yield Split(root, transformer, predictors, file)
