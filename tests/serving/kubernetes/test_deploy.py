"""Deployments on a real API server for custom resources; status by a controller of the tests."""

from __future__ import annotations

import pytest

from hemix.errors import RegistryError
from hemix.serving.kubernetes.errors import ClusterError, DeploymentFailed, FieldConflict
from hemix.serving.kubernetes.manifests.names import key_of
from hemix.serving.kubernetes.manifests.render import render
from hemix.serving.kubernetes.owned import owned
from tests.serving.kubernetes.conftest import REGISTRY, Site, state_of
from tests.serving.kubernetes.core import Proxy, Server


def test_a_first_version_serves_everyone(site: Site) -> None:
    site.deploy(state_of("v1"))
    assert site.services() == {"ranker", "ranker-v1"}
    assert site.shares() == {"v1": 1.0}
    service = site.get("InferenceService", "ranker-v1")
    assert service is not None
    assert service["spec"]["predictor"]["model"]["storageUri"] == f"{REGISTRY}/versions/v1"
    assert site.get("HTTPRoute", "ranker") is not None
    assert site.get("PodDisruptionBudget", "ranker-v1") is not None
    runtime = service["spec"]["predictor"]["model"]["runtime"]
    assert site.get("ServingRuntime", runtime) is not None
    assert "  InferenceService ranker: ready" in site.lines


def test_again_changes_nothing(site: Site) -> None:
    site.deploy(state_of("v1"))
    rendered = render(state_of("v1"), site.settings(), registry=REGISTRY)
    before = [
        (site.cluster.get(m) or {})["metadata"]["resourceVersion"] for m in rendered.manifests
    ]
    site.lines.clear()
    site.deploy(state_of("v1"))
    after = [(site.cluster.get(m) or {})["metadata"]["resourceVersion"] for m in rendered.manifests]
    assert after == before
    assert not any("created" in line or "changed" in line for line in site.lines)


def test_traffic_moves_after_the_new_predictor_is_ready_and_the_old_one_goes_last(
    site: Site,
) -> None:
    site.deploy(state_of("v1"))
    site.lines.clear()
    site.deploy(state_of("v2"))
    order = [
        site.lines.index(line)
        for line in (
            "  InferenceService ranker-v2: created",
            "  InferenceService ranker-v2: ready",
            "  ConfigMap ranker-predictors: changed",
            "  InferenceService ranker-v1: removed",
        )
    ]
    assert order == sorted(order)
    assert site.services() == {"ranker", "ranker-v2"}
    assert site.get("PodDisruptionBudget", "ranker-v1") is None


def test_what_becomes_not_ready_leaves_everything_as_it_was(site: Site) -> None:
    site.deploy(state_of("v1"))
    before = _snapshot(site)
    site.controller.failing.add("ranker-v2")
    with pytest.raises(DeploymentFailed, match=r"ranker-v2.*no such bucket"):
        site.deploy(state_of("v1", v2=0.1), site.settings(timeouts={"ready": 4}))
    assert _snapshot(site) == before
    assert site.shares() == {"v1": 1.0}


def test_a_first_deployment_that_fails_leaves_nothing(site: Site) -> None:
    site.controller.failing.add("ranker")
    with pytest.raises(DeploymentFailed, match=r"InferenceService ranker: PredictorReady"):
        site.deploy(state_of("v1"), site.settings(timeouts={"ready": 4}))
    assert _snapshot(site) == {}


def test_a_new_image_that_does_not_start_is_taken_back(site: Site) -> None:
    site.deploy(state_of("v1"), site.settings(image="hemix/serve:1"))
    before = _snapshot(site)
    site.controller.bad_images.add("hemix/serve:2")
    settings = site.settings(image="hemix/serve:2", timeouts={"ready": 3, "settled": 3})
    with pytest.raises(DeploymentFailed, match=r"ranker-predictor: 1 of 2 pods are new"):
        site.deploy(state_of("v1"), settings)
    assert _snapshot(site) == before
    ranker = site.get("InferenceService", "ranker")
    assert ranker is not None
    assert ranker["spec"]["predictor"]["containers"][0]["image"] == "hemix/serve:1"


def test_a_new_image_replaces_runtimes_and_the_old_runtime_goes(site: Site) -> None:
    site.deploy(state_of("v1"), site.settings(image="hemix/serve:1"))
    old = _runtime(site)
    site.deploy(state_of("v1"), site.settings(image="hemix/serve:2"))
    assert _runtime(site) != old
    assert site.get("ServingRuntime", old) is None
    assert site.get("ServingRuntime", _runtime(site)) is not None


def test_a_route_that_the_gateway_refuses(site: Site) -> None:
    site.controller.refused_routes = True
    with pytest.raises(
        DeploymentFailed, match=r"HTTPRoute ranker: Accepted.*NotAllowedByListeners"
    ):
        site.deploy(state_of("v1"), site.settings(timeouts={"ready": 3}))
    assert _snapshot(site) == {}


def test_a_commit_that_fails_takes_the_cluster_back(site: Site) -> None:
    site.deploy(state_of("v1"))
    before = _snapshot(site)

    def commit() -> None:
        assert site.shares() == {"v1": 0.9, "v2": 0.1}  # the cluster serves it already
        raise RegistryError("someone else")

    with pytest.raises(RegistryError, match="someone else"):
        site.deploy(state_of("v1", v2=0.1), commit=commit)
    assert _snapshot(site) == before


def test_an_interruption_takes_the_cluster_back(site: Site) -> None:
    site.deploy(state_of("v1"))
    before = _snapshot(site)

    def say(line: str) -> None:
        if line == "deploy: traffic":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.deploy(state_of("v1", v2=0.1), say=say)
    assert _snapshot(site) == before


def test_another_managers_field_is_not_touched(site: Site, api_server: Server) -> None:
    site.deploy(state_of("v1"))
    before = _snapshot(site)
    # Their value for a field that we set too, with force: now it is theirs.
    path = f"/apis/serving.kserve.io/v1beta1/namespaces/{site.namespace}/inferenceservices/ranker"
    theirs = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "ranker"},
        "spec": {"predictor": {"minReplicas": 7}},
    }
    kind = "application/apply-patch+yaml"
    api_server.json("PATCH", f"{path}?fieldManager=argocd&force=true", theirs, kind)
    with pytest.raises(
        FieldConflict, match=r"ranker: \.spec\.predictor\.minReplicas belongs to argocd"
    ):
        site.deploy(state_of("v2"))
    assert set(_snapshot(site)) == set(before)
    assert site.shares() == {"v1": 1.0}
    site.deploy(state_of("v2"), force=True)
    ranker = site.get("InferenceService", "ranker")
    assert ranker is not None
    assert ranker["spec"]["predictor"]["minReplicas"] == 2


def test_what_someone_else_made_is_not_taken_over(site: Site, api_server: Server) -> None:
    theirs = {
        "apiVersion": "core.hemix.test/v1",
        "kind": "ConfigMap",
        "metadata": {"name": "ranker-predictors"},
        "data": {"own": "theirs"},
    }
    path = f"/apis/core.hemix.test/v1/namespaces/{site.namespace}/configmaps"
    api_server.json("POST", path, theirs)
    with pytest.raises(FieldConflict, match=r"ConfigMap ranker-predictors .* made by someone else"):
        site.deploy(state_of("v1"))
    assert site.services() == set()


def test_only_our_own_is_removed(site: Site, api_server: Server) -> None:
    site.deploy(state_of("v1"))
    other = site.settings(name="other")
    site.deploy(state_of("v1"), other)
    path = f"/apis/serving.kserve.io/v1beta1/namespaces/{site.namespace}/inferenceservices"
    foreign = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "foreign", "annotations": {}},
        "spec": {"predictor": {"minReplicas": 1, "model": {"modelFormat": {"name": "onnx"}}}},
    }
    api_server.json("POST", path, foreign)
    site.deploy(state_of("v2"))
    assert site.services() == {"ranker", "ranker-v2", "other", "other-v1", "foreign"}


def test_what_the_cluster_finds_invalid_changes_nothing(site: Site) -> None:
    site.deploy(state_of("v1"))
    before = _snapshot(site)
    settings = site.settings(gateway={"name": "hemix-gateway", "hostnames": ["not a host"]})
    with pytest.raises(ClusterError, match=r"apply HTTPRoute ranker: spec\.hostnames"):
        site.deploy(state_of("v2"), settings)
    assert _snapshot(site) == before


def test_a_namespace_that_is_not_there(site: Site) -> None:
    site.cluster.namespace = "missing"
    with pytest.raises(ClusterError, match="has no namespace missing"):
        site.deploy(state_of("v1"))


def test_a_short_absence_of_the_api_server_does_no_harm(site: Site, proxy: Proxy) -> None:
    proxy.refuse = 2
    site.deploy(state_of("v1"))
    assert site.shares() == {"v1": 1.0}


def test_an_api_server_that_goes_away_is_named_with_what_is_left(site: Site, proxy: Proxy) -> None:
    site.deploy(state_of("v1"))

    def say(line: str) -> None:
        proxy.cut = proxy.cut or line == "  InferenceService ranker-v2: created"

    with pytest.raises(DeploymentFailed, match=r"No answer .* could not be put back") as caught:
        site.deploy(state_of("v1", v2=0.1), say=say)
    assert "hemix deploy again" in caught.value.hint
    proxy.cut = False
    assert site.shares() == {"v1": 1.0}  # users never saw it
    site.deploy(state_of("v1"))
    assert site.services() == {"ranker", "ranker-v1"}


@pytest.mark.parametrize("by", ["hpa", "keda", "none"])
def test_each_way_of_scaling(site: Site, by: str) -> None:
    scaling = {"by": by, "prometheus": "http://prometheus:9090" if by == "keda" else ""}
    site.deploy(state_of("v1"), site.settings(predictor={"scaling": scaling}))
    assert (site.get("ScaledObject", "ranker-v1") is not None) == (by == "keda")
    site.deploy(state_of("v1"))  # back to the default: what KEDA had goes
    assert site.get("ScaledObject", "ranker-v1") is None


def _runtime(site: Site) -> str:
    service = site.get("InferenceService", "ranker-v1")
    assert service is not None
    name: str = service["spec"]["predictor"]["model"]["runtime"]
    return name


def _snapshot(site: Site) -> dict[tuple[str, str, str], object]:
    """What we own in the cluster, by object."""
    from hemix.serving.kubernetes.apply import leftovers
    from hemix.serving.kubernetes.manifests.render import Rendered

    found = leftovers(site.cluster, Rendered((), ()), site.settings())
    return {key_of(live): owned(live) for live in found}
