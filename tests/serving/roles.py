"""The endpoint split as on Kubernetes: a predictor a version and a transformer, as processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.predictors import Predictors
from serving.registry import registry_at
from tests.serving.live import Endpoint, Workshop, started, wait_ready


@dataclass(frozen=True)
class Split:
    """A transformer, the predictors that it asks, and the file that tells it of them."""

    transformer: Endpoint
    predictors: dict[str, Endpoint]
    file: Path


@contextlib.contextmanager
def start_predictor(
    workshop: Workshop, root: Path, version: str, *options: str
) -> Iterator[Endpoint]:
    """A warm predictor of one of the workshop's versions."""
    arguments = ("--role", "predictor", "--model", str(workshop.model(version)), *options)
    with started(root, *arguments, log=root / f"predictor-{version}.log") as endpoint:
        wait_ready(endpoint)
        yield endpoint


def write_predictors(file: Path, registry: str | Path, urls: dict[str, str]) -> None:
    """The predictors file that says what the registry says."""
    file.write_text(Predictors.of(registry_at(str(registry)).state(), urls).to_yaml())


def transformer_options(root: Path, file: Path, *options: str) -> tuple[str, ...]:
    """Options of a transformer over the feature store in ``root``."""
    return (
        *("--role", "transformer", "--predictors", str(file)),
        *("--features", str(root / "feature_store"), "--exposures", str(root / "exposures-split")),
        *options,
    )


@contextlib.contextmanager
def start_split(workshop: Workshop, root: Path, versions: tuple[str, ...]) -> Iterator[Split]:
    """Predictors of ``versions`` and a transformer over the registry and store in ``root``."""
    with contextlib.ExitStack() as stack:
        predictors = {
            version: stack.enter_context(start_predictor(workshop, root, version))
            for version in versions
        }
        file = root / "predictors.yaml"
        write_predictors(
            file, root / "registry", {name: found.url for name, found in predictors.items()}
        )
        options = transformer_options(root, file)
        transformer = stack.enter_context(started(root, *options, log=root / "transformer.log"))
        wait_ready(transformer)
        yield Split(transformer, predictors, file)
