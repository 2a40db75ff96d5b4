"""What the tests of serving stand on: real artifacts, small and untrained, and a real process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hemix.verdict import Check, Verdict
from tests.small import SmallRun

AS_OF = datetime(2022, 4, 29, tzinfo=UTC)
TIME_MS = round(AS_OF.timestamp() * 1000) + 3_600_000
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workshop:
    """Untrained versions ``v1``, ``v2``, ``v3`` (three seeds) and their feature repository."""

    root: Path
    small: SmallRun

    def make(self) -> None:
        if (self.root / "failed.json").exists():  # written last
            return
        import torch

        from hemix.features.examples.as_of import build_state
        from hemix.features.schema import ColumnTypes
        from hemix.features.store.repository import build_repository
        from hemix.files import read_json
        from hemix.models.rankers.registry import build
        from hemix.models.training.recipes import recipe_of
        from hemix.models.versions.version import write
        from hemix.spec import FeatureSpec

        spec = FeatureSpec.read(self.small.transform / "spec.json")
        state = self.small.root / "serving-state"
        build_state(self.small.definition, self.small.events, AS_OF, state)
        build_repository(
            self.small.definition,
            ColumnTypes.from_json(read_json(self.small.events / "types.json")),
            self.small.events,
            state,
            AS_OF,
            "ranker_small",
            self.root / "repository",
        )
        for seed, name in enumerate(("v1", "v2", "v3")):
            torch.manual_seed(seed)
            chosen = recipe_of("tiny")
            write(
                self.root / f"model-{name}",
                ranker=build(chosen.ranker, spec, chosen.model),
                recipe=chosen,
                transform=self.small.transform,
                version=name,
                feature_service="ranker_small",
                training_window={"start": "2022-04-25", "end": "2022-04-29"},
                metrics={"validation/click/auc": 0.5},
            )
        passed = Verdict.of("validate_model", [Check.of("auc", 1.0, 0.5, "at_least")])
        passed.write(self.root / "passed.json")
        failed = Verdict.of("validate_model", [Check.of("auc", 0.4, 0.5, "at_least")])
        failed.write(self.root / "failed.json")

    def model(self, name: str) -> Path:
        return self.root / f"model-{name}"

    def deploy(
        self, root: Path, name: str, *, share: float = 0.1, verdict: str = "passed"
    ) -> dict[str, Any]:
        """Run the deploy step into ``root``; returns deployment.json."""
        from hemix.components.deploy.step import run

        out = root / f"deployment-{name}.json"
        run(
            model=self.model(name),
            verdict=self.root / f"{verdict}.json",
            repository=self.root / "repository",
            registry=root / "registry",
            feature_store=root / "feature_store",
            share=share,
            out_deployment=out,
        )
        answer: dict[str, Any] = json.loads(out.read_text())
        return answer

    def known(self, users: int = 5, items: int = 20) -> tuple[list[int], list[int]]:
        """Ids that the feature store holds."""
        import pyarrow.parquet as pq

        state = self.small.root / "serving-state"
        ids = [
            pq.read_table(state / f"{side}s.parquet", columns=[f"{side}_id"])[0].to_pylist()[:n]
            for side, n in (("user", users), ("item", items))
        ]
        return ids[0], ids[1]


@dataclass(frozen=True)
class Endpoint:
    """A running ``hemix serve`` and where it is."""

    root: Path
    process: subprocess.Popen[str]
    url: str
    grpc: str
    log: Path

    def post(self, path: str, body: bytes | object, **headers: str) -> tuple[int, Any]:
        """Status and decoded JSON of a POST, whatever the status."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}{path}", data=data, headers={"Content-Type": "application/json", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def v1(self, *instances: object) -> tuple[int, Any]:
        return self.post("/v1/models/ranker:predict", {"instances": list(instances)})

    def metrics(self) -> dict[str, float]:
        """``name{labels}`` -> value of every sample."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def serve_process(root: Path, *options: str, log: Path) -> subprocess.Popen[str]:
    """Start ``hemix serve`` on the registry in ``root``."""
    return hemix_serve("--models", str(root), *options, cwd=root, log=log)


def hemix_serve(*options: str, cwd: Path, log: Path) -> subprocess.Popen[str]:
    """Start ``hemix serve``."""
    code = (
        "import sys; import typer; from hemix.cli.rank import register; app = typer.Typer(); register(app);"
        "from hemix.errors import HemixError\n"
        "try: app()\n"
        "except HemixError as error: print(error, file=sys.stderr); sys.exit(error.exit_code)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with log.open("w") as handle:
        return subprocess.Popen(
            [sys.executable, "-c", code, "serve", *options],
            stdout=handle,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment,
        )


@contextlib.contextmanager
def start_endpoint(root: Path, *options: str) -> Iterator[Endpoint]:
    """Run ``hemix serve`` on free ports until the block ends; it must then stop cleanly."""
    with started(root, "--models", str(root), *options, log=root / "serve.log") as endpoint:
        wait_ready(endpoint)
        yield endpoint


@contextlib.contextmanager
def started(root: Path, *options: str, log: Path) -> Iterator[Endpoint]:
    """Run ``hemix serve`` on free ports; listening, perhaps not ready yet."""
    process = hemix_serve("--port", "0", "--grpc-port", "0", *options, cwd=root, log=log)
    with ended(process):
        http, grpc = addresses(process, log)
        yield Endpoint(root, process, f"http://{http}", grpc, log)


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Tell the process to stop when the block ends; it must then stop cleanly."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def addresses(process: subprocess.Popen[str], log: Path) -> tuple[str, str]:
    """HTTP and gRPC address of an endpoint, from what it prints when it listens."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        lines = [line.split() for line in log.read_text().splitlines()]
        http = [words[1] for words in lines if words[:1] == ["V2"]]
        grpc = [words[1] for words in lines if words[:1] == ["gRPC"]]
        if http and grpc:
            return http[0].split("/")[2], grpc[0]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"the endpoint did not start:\n{log.read_text()}")


def wait_ready(endpoint: Endpoint) -> None:
    """Wait until the endpoint says that it is warm."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{endpoint.url}/v2/health/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"the endpoint is not ready:\n{endpoint.log.read_text()}")
