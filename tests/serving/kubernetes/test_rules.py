"""The rules of KServe's webhooks, which neither a CRD nor the API server of the tests knows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.errors import DefinitionError
from hemix.serving.kubernetes.manifests.render import render
from hemix.serving.kubernetes.manifests.rules import check
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from tests.serving.kubernetes.conftest import REGISTRY, state_of


def _service(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "ranker-v1",
            "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
        },
        "spec": {"predictor": {"minReplicas": 2, "model": {}}, **spec},
    }


def _canary(name: str, percent: int, **predictor: Any) -> dict[str, Any]:
    return {"trafficPercent": percent, "predictor": {"name": name, **predictor}}


canaries = st.lists(
    st.builds(
        _canary,
        st.sampled_from(["", "stable", "a", "b", "c"]),
        st.integers(-10, 110),
        minReplicas=st.integers(0, 4),
    ),
    max_size=3,
)


@given(canaries, st.integers(1, 3))
def test_canaries_pass_exactly_when_every_rule_holds(
    found: list[dict[str, Any]], least: int
) -> None:
    service = _service(canary=found)
    service["spec"]["predictor"] |= {"name": "stable", "minReplicas": least}
    names = [canary["predictor"]["name"] for canary in found]
    shares = [canary["trafficPercent"] for canary in found]
    good = (
        all(names)
        and len({*names, "stable"}) == len(names) + 1
        and all(0 <= share <= 100 for share in shares)
        and sum(shares) <= 100
        and all(canary["predictor"]["minReplicas"] <= least for canary in found)
    )
    if good:
        check(service)
    else:
        with pytest.raises(DefinitionError, match="ranker-v1"):
            check(service)


@given(
    percent=st.integers(0, 100),
    replicas=st.integers(1, 5),
    least=st.integers(1, 5),
    role=st.sampled_from(["ranker", "predictor"]),
)
def test_a_rollout_renders_exactly_when_its_pods_are_few_enough(
    percent: int, replicas: int, least: int, role: str
) -> None:
    settings = DeploymentSettings.model_validate(
        {
            "inner_gateway": {"name": "inner", "url": "http://inner"},
            "rollout": {"image": "a:2", "percent": percent, "role": role, "replicas": replicas},
            role: {"scaling": {"min_replicas": least}},
        }
    )
    if replicas <= least:
        rendered = render(state_of("v1", v2=0.1), settings, registry=REGISTRY)
        assert sum("canary" in m.get("spec", {}) for m in rendered.manifests) == (
            1 if role == "ranker" else 2
        )
    else:
        with pytest.raises(DefinitionError, match="minReplicas is above"):
            render(state_of("v1", v2=0.1), settings, registry=REGISTRY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata.annotations": {}}, "deploymentMode must be Standard"),
        ({"metadata.name": "Ranker"}, "metadata.name 'Ranker'"),
        ({"metadata.name": "r" * 60}, "longer than 63"),
        ({"spec.predictor.canaryTrafficPercent": 10}, "canaryTrafficPercent is ignored"),
        ({"spec.predictor.model": {"name": "kserve-container"}}, "model.name is not allowed"),
        ({"spec.predictor.containers": []}, "either model or containers"),
        ({"spec.predictor.scaleTarget": 101}, r"scaleTarget 101 is not in 1\.\.100"),
        ({"spec.predictor.scaleMetric": "rps"}, "'rps' is not cpu or memory"),
        ({"spec.predictor.maxReplicas": 1}, "minReplicas 2 is above maxReplicas 1"),
        ({"spec.canary": [_canary("n", 5, maxReplicas=2)]}, "maxReplicas is not allowed"),
        ({"spec.canary": [_canary("n", 5, autoScaling={})]}, "autoScaling is not allowed"),
        ({"spec.canary": [_canary("n" * 50, 5)]}, "longer than 63"),
    ],
)
def test_each_other_rule(change: dict[str, Any], message: str) -> None:
    service = _service()
    check(service)
    for path, value in change.items():
        *above, last = path.split(".")
        at: Any = service
        for key in above:
            at = at[key]
        at[last] = value
    with pytest.raises(DefinitionError, match=message):
        check(service)


def test_autoscaler_classes() -> None:
    service = _service()
    annotations = service["metadata"]["annotations"]
    annotations["serving.kserve.io/autoscalerClass"] = "kpa"
    with pytest.raises(DefinitionError, match="'kpa' is not one of"):
        check(service)
    annotations["serving.kserve.io/autoscalerClass"] = "keda"
    service["spec"]["predictor"]["scaleMetric"] = "cpu"
    with pytest.raises(DefinitionError, match="not for KEDA"):
        check(service)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=4))
def test_a_splitters_weights_sum_to_100(weights: list[int]) -> None:
    graph = {
        "kind": "InferenceGraph",
        "metadata": {"name": "g"},
        "spec": {
            "nodes": {
                "root": {"routerType": "Splitter", "steps": [{"weight": w} for w in weights]},
                "other": {"routerType": "Sequence", "steps": [{}]},
            }
        },
    }
    if sum(weights) == 100:
        check(graph)
        return
    with pytest.raises(DefinitionError, match=r"nodes\.root"):
        check(copy.deepcopy(graph))
