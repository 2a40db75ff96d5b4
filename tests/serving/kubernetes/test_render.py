"""What is rendered: golden, pinned, restricted, and accepted by the schemas of a real cluster."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hemix.errors import DefinitionError, RegistryError
from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.errors import ClusterError
from hemix.serving.kubernetes.manifests import ranker
from hemix.serving.kubernetes.manifests.names import Manifest, service_name
from hemix.serving.kubernetes.manifests.render import Rendered, live_versions, render
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.kubernetes.owned import owned
from hemix.serving.protocol.endpoint import MODEL_NAME
from hemix.serving.registry.transitions import Event, RegistryState
from hemix.serving.two_roles.routing_table import parse_predictors
from tests.serving.kubernetes.conftest import REGISTRY, state_of
from tests.serving.kubernetes.examples import SETTINGS

GOLDEN = Path(__file__).parent / "golden" / "manifests.yaml"
CORE = ("ConfigMap", "PodDisruptionBudget")
STATE = state_of("20220430-1a2b3c4d", **{"20220507-5e6f7a8b": 0.1})

every_setting = pytest.mark.parametrize("text", SETTINGS.values(), ids=SETTINGS.keys())


def _rendered(text: str) -> Rendered:
    return render(STATE, DeploymentSettings.parse(text), registry=REGISTRY)


def _golden() -> str:
    return _rendered(SETTINGS["keda"] + SETTINGS["an image of the ranker on trial"]).to_yaml()


def test_equals_the_golden_file() -> None:
    assert _golden() == GOLDEN.read_text(), "the manifests changed; when meant: make golden"


@every_setting
def test_the_text_says_what_the_manifests_say(text: str) -> None:
    rendered = _rendered(text)
    assert tuple(yaml.safe_load_all(rendered.to_yaml())) == rendered.manifests


@every_setting
def test_every_pod_is_restricted_bounded_and_pinned(text: str) -> None:
    containers = 0
    for manifest in _rendered(text).manifests:
        for pod in _pods(manifest):
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
        for container in _containers(manifest):
            containers += 1
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert container["image"].partition(":")[2] not in ("", "latest")
    assert containers >= 2


@every_setting
def test_core_objects_fit_their_schema(text: str) -> None:
    found = [m for m in _rendered(text).manifests if m["kind"] in CORE]
    assert {m["kind"] for m in found} == set(CORE)
    for manifest in found:
        kubernetes_validate.validate(manifest, "1.31", strict=True)


@pytest.mark.parametrize("kind", CORE)
def test_the_schemas_refuse_what_is_wrong(kind: str) -> None:
    manifest = copy.deepcopy(next(m for m in _rendered("").manifests if m["kind"] == kind))
    manifest["spec" if kind == "PodDisruptionBudget" else "dato"] = {"maxUnavailabel": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.31", strict=True)


@every_setting
def test_the_cluster_accepts_everything_and_we_read_it_back(text: str, cluster: Cluster) -> None:
    for manifest in _rendered(text).manifests:
        manifest["metadata"]["namespace"] = cluster.namespace
        live = cluster.apply(manifest, force=True)
        assert owned(live) == manifest


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("InferenceService", ("spec", "predictor", "minReplicas"), "two"),
        ("InferenceService", ("spec", "predictor", "minReplica"), 2),
        ("InferenceService", ("spec", "predictor", "scaleMetric"), "queries"),
        ("ServingRuntime", ("spec", "containers"), None),
        ("HTTPRoute", ("spec", "hostnames"), ["not a host"]),
        ("HTTPRoute", ("spec", "rules", 0, "backendRefs", 0, "weight"), -1),
        ("ScaledObject", ("spec", "minReplicaCount"), 99),
    ],
)
def test_the_cluster_refuses_what_is_wrong(
    cluster: Cluster, kind: str, path: tuple[Any, ...], value: Any
) -> None:
    manifest = copy.deepcopy(
        next(m for m in _rendered(SETTINGS["keda"]).manifests if m["kind"] == kind)
    )
    if "namespace" in manifest["metadata"]:
        manifest["metadata"]["namespace"] = cluster.namespace
    at: Any = manifest
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(ClusterError, match=str(path[-1])):
        cluster.apply(manifest, dry_run=True)


def test_the_predictors_file_is_what_the_transformer_reads() -> None:
    rendered = _rendered("")
    data = next(m for m in rendered.manifests if m["kind"] == "ConfigMap")["data"]
    file = parse_predictors(data[ranker.FILE], where="test")
    assert file.state().shares == pytest.approx(STATE.shares)
    assert file.salt == STATE.salt
    services = {m["metadata"]["name"] for m in rendered.capacity if m["kind"] == "InferenceService"}
    assert {p.url for p in file.predictors} == {f"http://{s}-predictor.hemix" for s in services}


@every_setting
def test_hemix_serve_takes_the_arguments(text: str) -> None:
    import typer.main

    from hemix.cli.main import app

    command = typer.main.get_command(app)
    for container in (c for m in _rendered(text).manifests for c in _containers(m)):
        name, *arguments = container["args"]
        context = command.commands[name].make_context(name, list(arguments))  # type: ignore[attr-defined]
        assert context.params["host"] == "0.0.0.0"
        assert str(context.params["port"]) == "8080"


def test_the_ranker_answers_by_the_name_that_is_routed_and_probed() -> None:
    assert ranker.MODEL_NAME == MODEL_NAME


def test_live_events_reach_the_transformer_and_have_a_way_in() -> None:
    told = {}
    for name in ("as shipped", "gpu and a claim"):
        manifests = _rendered(SETTINGS[name]).manifests
        (service,) = [
            m for m in manifests if m["metadata"]["name"] == "ranker" and "predictor" in m["spec"]
        ]
        (container,) = service["spec"]["predictor"]["containers"]
        paths = str([m for m in manifests if m["kind"] == "HTTPRoute"])
        told[name] = ("--events" in container["args"], "/v1/events" in paths)
        runtimes = str([m for m in manifests if m["kind"] == "ServingRuntime"])
        assert "--events" not in runtimes, "a predictor needs none"
    assert told == {"as shipped": (False, False), "gpu and a claim": (True, True)}
    assert "/var/lib/hemix/dead_letters" in container["args"]


def test_only_the_public_key_reaches_a_pod() -> None:
    keys = [
        variable["valueFrom"]["secretKeyRef"]["key"]
        for manifest in _rendered(SETTINGS["keda"]).manifests
        for container in _containers(manifest)
        for variable in container.get("env", ())
        if "valueFrom" in variable
        and variable["valueFrom"]["secretKeyRef"]["name"] == "hemix-signing"
    ]
    assert keys == ["public.pem"]


def test_a_rollout_sends_its_share_to_the_trials_service() -> None:
    route = next(
        m
        for m in _rendered(SETTINGS["an image of the ranker on trial"]).traffic
        if m["kind"] == "HTTPRoute"
    )
    weights = {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == {"ranker-predictor": 90, "ranker-next-predictor": 10}


def test_another_image_is_another_runtime() -> None:
    def names(text: str) -> set[str]:
        found = _rendered(text).capacity
        return {m["metadata"]["name"] for m in found if m["kind"] == "ServingRuntime"}

    assert not names("image: 'a/serve:1'") & names("image: 'a/serve:2'")
    assert names("image: 'a/serve:1'") == names("image: 'a/serve:1'\nranker: {workers: 8}")


@pytest.mark.parametrize(
    ("registry", "text", "message"),
    [
        ("/var/models", "", "Pods cannot read models from /var/models"),
        (REGISTRY, "storage: {features: /data}", "Pods cannot read features from /data"),
    ],
)
def test_what_pods_cannot_reach(registry: str, text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        render(STATE, DeploymentSettings.parse(text), registry=registry)


def test_nothing_to_serve() -> None:
    with pytest.raises(RegistryError, match="no champion"):
        render(RegistryState(), DeploymentSettings(), registry=REGISTRY)


@given(
    st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True), min_size=2, max_size=2, unique=True)
)  # fmt: skip
def test_versions_have_names_that_kubernetes_takes_and_that_differ(versions: list[str]) -> None:
    first, second = (service_name(DeploymentSettings(), version) for version in versions)
    assert first != second
    for name in (first, second):
        assert name == name.lower()
        assert len(f"{name}-next-predictor") <= 63
        assert name[0].isalpha()
        assert name[-1].isalnum()
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_the_champion_before_has_pods_for_a_stated_time() -> None:
    state = STATE.model_copy(update={"champions": ("v0", STATE.champion)})
    assert "v0" not in live_versions(state, DeploymentSettings())
    when = datetime(2026, 1, 1, tzinfo=UTC)
    event = Event(when=when, who="a", what="promote", version=STATE.champion or "")
    state = state.model_copy(update={"history": (event,)})
    for hours, kept in ((0, True), (23, True), (25, False)):
        found = live_versions(state, DeploymentSettings(), when + timedelta(hours=hours))
        assert found == ((*STATE.shares, "v0") if kept else tuple(STATE.shares))
    none = DeploymentSettings(champion_before_hours=0)
    assert live_versions(state, none, when) == tuple(STATE.shares)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image: hemix/serve:latest", "image: image 'hemix/serve:latest' must be pinned"),
        ("image: hemix/serve", "must be pinned"),
        ("replicas: 2", "replicas: no such key"),
        ("ranker: {scaling: {min_replicas: 9, max_replicas: 2}}", "min_replicas 9 is above"),
        ("canary_steps: [5, 50]", "must rise from at least 1 and end in 100"),
        ("canary_steps: [50, 5, 100]", "must rise"),
        ("rollout: {image: 'a:1', percent: 5, role: predictor}", "needs inner_gateway"),
        ("rollout: {image: 'a:1', percent: 101}", r"rollout\.percent"),
        ("namespace: Not_A_Name", "namespace"),
        ("storage: {events: /var/lib/hemix/events.db}", r"storage\.events: .*redis://HOST:PORT/DB"),
        ("storage: {events: 'redis://u:word@redis'}", r"secrets\.redis"),
        ("[1, 2]", "a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_settings_that_do_not_fit_name_the_key(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        DeploymentSettings.parse(text, where="deploy.yaml")


def _pods(manifest: Manifest) -> Iterator[dict[str, Any]]:
    if manifest["kind"] == "InferenceService":
        yield manifest["spec"]["predictor"]
        yield from (canary["predictor"] for canary in manifest["spec"].get("canary", ()))


def _containers(manifest: Manifest) -> Iterator[dict[str, Any]]:
    if manifest["kind"] == "ServingRuntime":
        yield from manifest["spec"]["containers"]
    for pod in _pods(manifest):
        yield from pod.get("containers", ())


if __name__ == "__main__":  # make golden
    GOLDEN.write_text(_golden())
