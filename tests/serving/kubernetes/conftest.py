from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from hemix.serving.kubernetes.api import Cluster, connect
from hemix.serving.kubernetes.apply import deploy
from hemix.serving.kubernetes.manifests.names import Manifest
from hemix.serving.kubernetes.manifests.render import render
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.registry.transitions import Challenger, RegistryState
from tests.serving.kubernetes.controller import Controller
from tests.serving.kubernetes.core import Proxy, Server, core_proxy, install_stand_ins

REGISTRY = "s3://models/registry"
FAST = {"api": 60, "ready": 60, "settled": 0.1, "drain": 0, "poll": 0.1}


def settings_of(namespace: str, **fields: Any) -> DeploymentSettings:
    """Settings whose waits are short."""
    timeouts = {**FAST, **fields.pop("timeouts", {})}
    fields.setdefault("champion_before_hours", 0)
    return DeploymentSettings.model_validate(
        {"namespace": namespace, "timeouts": timeouts, **fields}
    )


def state_of(champion: str, **challengers: float) -> RegistryState:
    """A registry's state: a champion, and challengers with their shares."""
    return RegistryState(
        champion=champion,
        challengers=tuple(Challenger(version=v, share=s) for v, s in challengers.items()),
        salt="salt",
        champions=(champion,),
        versions={champion: "champion", **dict.fromkeys(challengers, "challenger")},
    )


@pytest.fixture(scope="session")
def api_server(crd_kubeconfig: Path) -> Server:
    """The real API server, with stand-ins for core types."""
    server = Server(crd_kubeconfig)
    with FileLock(crd_kubeconfig.parent / "stand-ins.lock"):
        install_stand_ins(server)
    return server


@pytest.fixture
def namespace(api_server: Server) -> str:
    """A namespace of this test's own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "core.hemix.test/v1", "kind": "Namespace", "metadata": {"name": name}}
    api_server.json("POST", "/apis/core.hemix.test/v1/testnamespaces", body)
    return name


@pytest.fixture
def proxy(api_server: Server) -> Iterator[Proxy]:
    with core_proxy(api_server) as running:
        yield running


@pytest.fixture
def kubeconfig(proxy: Proxy, namespace: str, tmp_path: Path) -> Path:
    """Kubeconfig of the proxy."""
    return write_kubeconfig(tmp_path / "kubeconfig", proxy.url)


def write_kubeconfig(path: Path, url: str, user: dict[str, str] | None = None) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": {"server": url}}],
                "users": [{"name": "test", "user": user or {}}],
            }
        )
    )
    return path


@pytest.fixture
def cluster(kubeconfig: Path, namespace: str) -> Cluster:
    return connect(namespace=namespace, kubeconfig=kubeconfig, timeout_s=60)


@pytest.fixture
def controller(api_server: Server, namespace: str) -> Iterator[Controller]:
    """Sets status; a test whose users would have met a predictor that is not ready fails."""
    running = Controller(api_server, namespace)
    running.start()
    yield running
    running.stop()
    assert not running.broken_promises


@dataclass
class Site:
    """A namespace under a running controller, and what was said."""

    cluster: Cluster
    controller: Controller
    namespace: str
    lines: list[str]

    def settings(self, **fields: Any) -> DeploymentSettings:
        return settings_of(self.namespace, **fields)

    def deploy(
        self,
        state: RegistryState,
        settings: DeploymentSettings | None = None,
        *,
        say: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        settings = settings or self.settings()
        rendered = render(state, settings, registry=REGISTRY)
        deploy(self.cluster, rendered, settings, say=say or self.lines.append, **options)

    def get(self, kind: str, name: str) -> Manifest | None:
        versions = {
            "InferenceService": "serving.kserve.io/v1beta1",
            "ServingRuntime": "serving.kserve.io/v1alpha1",
            "HTTPRoute": "gateway.networking.k8s.io/v1",
            "ScaledObject": "keda.sh/v1alpha1",
            "PodDisruptionBudget": "policy/v1",
            "ConfigMap": "v1",
        }
        return self.cluster.get(
            {"apiVersion": versions[kind], "kind": kind, "metadata": {"name": name}}
        )

    def shares(self) -> dict[str, float]:
        """What the predictors file of the cluster says now."""
        live = self.get("ConfigMap", "ranker-predictors")
        if live is None:
            return {}
        file = yaml.safe_load(live["data"]["predictors.yaml"])
        return {p["version"]: pytest.approx(p["share"]) for p in file["predictors"]}

    def services(self) -> set[str]:
        found = self.cluster.list("serving.kserve.io/v1beta1", "InferenceService", selector="")
        return {item["metadata"]["name"] for item in found}


@pytest.fixture
def site(cluster: Cluster, controller: Controller, namespace: str) -> Site:
    return Site(cluster, controller, namespace, [])
