"""``make cluster-check``: all that is good passes, all that is broken is refused, absences are told."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from hemix.infra.check import (
    core,
    mistakes,
    mutations,
    namespaces,
    pod_defaults,
    rights,
    run,
    server,
    sources,
)
from hemix.infra.check.objects import OVERLAYS, ROOT, Object, documents, kustomized
from hemix.infra.check.report import Report
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.kfp_client.connection import POD_TOKEN, resolve
from tests.infra.tools import need


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    need("kubectl")
    return {name: kustomized(ROOT / "infra" / "kustomize" / "overlays" / name) for name in OVERLAYS}


@pytest.mark.slow
def test_everything_is_accepted_and_everything_broken_refused(
    crd_kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the kinds of mistakes some: ``test_mistakes.py`` goes through all of them."""
    need("kubectl", "promtool")
    monkeypatch.setattr(mistakes, "MISTAKES", mistakes.MISTAKES[::40])
    report = Report()
    run.check_all(report, crd_kubeconfig)
    assert not report.refused
    assert not report.passed_broken
    assert not report.missing
    assert set(report.checked) == {run.SCHEMAS, run.CUSTOM, run.TOGETHER, run.RULES, run.PIPELINES}
    assert set(report.broken) == {*report.checked, run.MISTAKES}
    last = report.text().splitlines()[-1]
    told, worse = sum(report.checked.values()), sum(map(len, report.broken.values()))
    assert last == (
        f"cluster-check: {told} objects checked, 0 refused; {worse} kinds of mistakes, all refused"
    )
    assert report.exit_code == 0


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_holds_what_the_pipelines_and_the_endpoint_name(
    name: str, rendered: dict[str, list[Object]]
) -> None:
    objects = {(o.manifest["kind"], o.manifest["metadata"]["name"]) for o in rendered[name]}
    for account in ("hemix-pipeline", "hemix-deployer", "hemix-serving"):
        assert ("ServiceAccount", account) in objects
    assert {
        ("Namespace", "hemix"),
        ("NetworkPolicy", "default-deny"),
        ("StatefulSet", "hemix-redis"),
        ("Gateway", "hemix-gateway"),
        ("ServiceMonitor", "hemix-ranker"),
        ("PrometheusRule", "hemix-alerts"),
        ("ConfigMap", "hemix-dashboards"),
    } <= objects


def test_a_run_that_does_not_deploy_may_not(rendered: dict[str, list[Object]]) -> None:
    """hemix-pipeline reaches nothing that serves; hemix-serving nothing at all."""
    roles = {
        o.manifest["metadata"]["name"]: o for o in rendered["prod"] if o.manifest["kind"] == "Role"
    }
    bound: dict[str, set[str]] = {}
    for item in rendered["prod"]:
        if item.manifest["kind"].endswith("RoleBinding"):
            for subject in item.manifest["subjects"]:
                bound.setdefault(subject["name"], set()).add(item.manifest["roleRef"]["name"])
    assert bound["hemix-pipeline"] == {"hemix-pipeline"}
    assert bound["hemix-deployer"] == {"hemix-pipeline", "hemix-deployer"}
    assert "hemix-serving" not in bound
    reached = {r for rule in roles["hemix-pipeline"].manifest["rules"] for r in rule["resources"]}
    assert not reached & {
        "inferenceservices",
        "httproutes",
        "poddisruptionbudgets",
        "scaledobjects",
    }


def test_the_deployers_role_is_what_hemix_deploy_does(rendered: dict[str, list[Object]]) -> None:
    prod = copy.deepcopy(rendered["prod"])
    assert rights.problems(prod, list(sources.endpoint())) == []
    other = list(sources.endpoint("another"))
    assert rights.problems(prod, other) == [
        f"hemix-deployer may not {verb} configmaps another-predictors: {rights.MEND}"
        for verb in ("get", "patch", "delete")
    ]
    role = next(
        o.manifest
        for o in prod
        if (o.manifest["kind"], o.manifest["metadata"]["name"]) == ("Role", "hemix-deployer")
    )
    role["rules"][5]["resourceNames"] = ["another-predictors"]  # as docs/operator/deploying.md says
    assert rights.problems(prod, other) == []
    role["rules"][0]["verbs"].remove("create")
    assert rights.problems(prod, other) == [
        f"hemix-deployer may not create inferenceservices: {rights.MEND}",
        f"hemix-deployer may not create servingruntimes: {rights.MEND}",
    ]


def test_a_profiles_pods_get_a_token_for_kfps_api(rendered: dict[str, list[Object]]) -> None:
    """What the client looks for is what the overlay puts into the pods that ask, and no others."""
    objects = {o.manifest["kind"]: o.manifest for o in rendered["multi-user"]}
    label = objects["Namespace"]["metadata"]["labels"]["app.kubernetes.io/part-of"]
    assert label == "kubeflow-profile"  # what Kubeflow's webhooks go by
    token = objects[pod_defaults.KIND]
    assert pod_defaults.problems(token) == []
    settings = ClusterSettings.load()
    wanted = token["spec"]["selector"]["matchLabels"].items()
    asking = {s for s in settings.steps if wanted <= settings.steps[s].labels.items()}
    assert asking == {"trigger", "clean"}
    whole = pod_defaults.injected(token["spec"], pod_defaults.pod_of("trigger", settings))
    (container,) = whole["spec"]["containers"]
    environment = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    in_pod = {**environment, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert resolve(environment=in_pod).token_file == POD_TOKEN
    for other in ("local", "dev", "prod"):
        assert pod_defaults.KIND not in {o.manifest["kind"] for o in rendered[other]}
    for worse in mutations.broken_tokens(Object("t", token)):
        assert pod_defaults.problems(worse.manifest), worse.source


def test_prod_speaks_https_only(rendered: dict[str, list[Object]]) -> None:
    gateways = [o.manifest for o in rendered["prod"] if o.manifest["kind"] == "Gateway"]
    assert [listener["protocol"] for listener in gateways[0]["spec"]["listeners"]] == ["HTTPS"]


def test_endpoint_pods_match_the_openings(rendered: dict[str, list[Object]]) -> None:
    """The labels that hemix deploy writes are those that policies and monitors look for."""
    wanted = [
        o.manifest["spec"]["selector"]["matchLabels"]
        for o in rendered["prod"]
        if o.manifest["kind"] == "ServiceMonitor"
    ]
    services = [
        o.manifest["metadata"]["labels"]
        for o in sources.endpoint()
        if o.manifest["kind"] == "InferenceService"
    ]
    for labels in wanted:
        assert any(labels.items() <= found.items() for found in services)
    policies = {o.manifest["metadata"]["name"]: o.manifest for o in rendered["prod"]}
    for name in ("ranker", "predictor"):
        selector = policies[name]["spec"]["podSelector"]["matchLabels"]
        assert any(selector.items() <= found.items() for found in services)


@pytest.mark.parametrize("fault", mutations.FAULTS)
def test_faults_are_refused_in_redis(fault: str, rendered: dict[str, list[Object]]) -> None:
    redis = next(o for o in rendered["local"] if o.manifest["kind"] == "StatefulSet")
    found = [o for o in mutations.broken([redis]) if o.source.endswith(fault)]
    assert len(found) == 1
    assert core.problems(found[0].manifest)
    assert not core.problems(redis.manifest)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}", "open to everyone"),
        ("spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{}]}]}", "names no pods"),
    ],
)
def test_open_doors_are_found(text: str, told: str) -> None:
    head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n"
    assert any(
        told in problem for problem in namespaces.problems(list(documents(head + text, "t")))
    )


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A clone without ../shared and without kubectl: said, counted, exit code 2."""
    monkeypatch.setattr(server, "SHARED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(run, "check_pipelines", lambda report: None)
    report = Report(verbose=False)
    run.check_all(report)
    assert report.exit_code == 2
    text = report.text()
    assert "kubectl: the overlays are not rendered" in text
    assert "../shared/kubernetes/crdserver is not on this machine" in text
    assert "promtool" in text
    assert text.endswith(f"{len(report.missing)} things missing")


def test_a_broken_one_that_passes_fails_the_check() -> None:
    report = Report(verbose=False)
    report.good("x", "fine", [])
    report.bad("x", "broken but taken", [])
    assert report.exit_code == 1
    assert report.text().endswith(
        "1 objects checked, 0 refused; 1 kinds of mistakes, 1 mistakes not refused"
    )


def test_one_mistake_in_ten_objects_is_one_kind() -> None:
    report = Report(verbose=False)
    for number in range(10):
        report.bad("x", f"object {number} with a fault", ["told"], kind="a fault")
    assert report.text().endswith("0 objects checked, 0 refused; 1 kinds of mistakes, all refused")


def test_kustomize_says_what_it_refuses(tmp_path: Path) -> None:
    need("kubectl")
    (tmp_path / "kustomization.yaml").write_text("resources: [absent.yaml]\n")
    with pytest.raises(Exception, match=r"absent\.yaml"):
        kustomized(tmp_path)
