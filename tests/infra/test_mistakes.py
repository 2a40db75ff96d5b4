"""Every kind of mistake is refused, and nothing that is right is: in this process, one object each."""

from __future__ import annotations

import copy

import pytest

from hemix.infra.check import core, frozen, mistakes, sources, together
from hemix.infra.check.mistakes.mistake import ADD, GONE, judged, mistake
from hemix.infra.check.objects import ROOT, Object, kustomized
from hemix.infra.check.rules import flows, settings
from hemix.infra.check.rules.policy.shipped import FILE
from hemix.infra.check.rules.world import world
from tests.infra.tools import need

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _kubectl() -> None:
    need("kubectl")


@pytest.mark.parametrize(
    "site", ["prod", "trial", "shipped", "local", "profile", "single", "components", "gke"]
)
def test_what_is_right_passes(site: str) -> None:
    found = mistakes.site_of(site)
    assert judged(found.overlay, found.applied) == []
    alone = [o for o in found.overlay if o.manifest["kind"] == "AlertmanagerConfig"]
    assert [p for o in alone for p in core.everywhere(o.manifest)] == []
    assert len(alone) == (site == "components")


@pytest.mark.parametrize("wrong", mistakes.MISTAKES, ids=lambda wrong: wrong.title)
def test_a_mistake_is_refused(wrong: mistakes.Mistake) -> None:
    assert mistakes.refused(wrong)


@pytest.mark.parametrize("change", mistakes.RIGHT, ids=lambda change: change.title)
def test_what_operators_change_passes(change: mistakes.Mistake) -> None:
    assert mistakes.refused(change) == []


def test_what_is_shipped_is_written_down() -> None:
    assert FILE.read_text() == frozen.text(), "python -m hemix.infra.check.frozen"


def test_each_mistake_is_another_one() -> None:
    titles = [wrong.title for wrong in mistakes.MISTAKES]
    assert len(set(titles)) == len(titles)
    assert len(mistakes.REVIEWED) == 65
    assert len(mistakes.FURTHER) > 200
    assert len(mistakes.OPERATORS) > 100
    assert len(mistakes.FRESH_FIRST) + len(mistakes.FRESH_SECOND) > 220


def _policies(site: str) -> list[Object]:
    return [o for o in mistakes.site_of(site).overlay if o.manifest["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize("site", ["prod", "local", "profile"])
def test_no_line_of_a_policy_is_idle(site: str) -> None:
    """Taking any rule of any policy away closes a flow that must be open."""
    found = mistakes.site_of(site)
    for item in _policies(site):
        for side in ("ingress", "egress"):
            for number in range(len(item.manifest["spec"].get(side) or ())):
                worse = copy.deepcopy(item.manifest)
                del worse["spec"][side][number]
                overlay = [Object("t", worse) if o is item else o for o in found.overlay]
                closed = list(flows.problems(together.built(overlay, found.applied)))
                assert closed, f"{item.title}: {side}[{number}]"


def test_another_tenant_needs_no_right_to_this_ones() -> None:
    """An overlay over dev with another namespace is whole, and reaches nothing of the cluster."""
    moved = []
    for item in kustomized(ROOT / "infra" / "kustomize" / "overlays" / "dev"):
        manifest = copy.deepcopy(item.manifest)
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = "team-b"
        else:
            manifest["metadata"]["namespace"] = "team-b"
        for subject in manifest.get("subjects") or ():
            subject["namespace"] = "team-b"
        moved.append(Object(item.source, manifest))
    applied = []
    for item in (*sources.shipped(), *list(sources.trainings())[:1]):
        manifest = copy.deepcopy(item.manifest)
        manifest["metadata"]["namespace"] = "team-b"
        if manifest["kind"] == "ConfigMap":
            file = manifest["data"]["predictors.yaml"]
            manifest["data"]["predictors.yaml"] = file.replace(
                "-predictor.hemix", "-predictor.team-b"
            )
        for parent in manifest["spec"].get("parentRefs", ()) if "spec" in manifest else ():
            parent["namespace"] = "team-b"
        applied.append(Object(item.source, manifest))
    assert together.problems(moved, applied) == []
    assert not {o.manifest["kind"] for o in moved} & {"ClusterRole", "ClusterRoleBinding"}


def test_policies_are_worked_out_by_the_port_behind_the_service() -> None:
    """The rules of the table, each by an example that can be followed by hand."""
    policy = {
        "kind": "NetworkPolicy",
        "metadata": {"name": "a", "namespace": "n"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "db"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                    "ports": [{"port": "sql"}],
                }
            ],
        },
    }
    web, other = flows.End("web", "n", {"app": "web"}), flows.End("other", "m", {"app": "web"})
    db = flows.End("db", "n", {"app": "db"}, ports={"sql": 5432})
    assert flows.blocked([policy], flows.Flow(web, db, 5432)) == ""
    assert flows.blocked([policy], flows.Flow(web, db, 80))
    assert flows.blocked([policy], flows.Flow(web, db, 5432, "UDP"))
    assert flows.blocked([policy], flows.Flow(other, db, 5432))  # the same labels elsewhere
    assert flows.blocked([policy], flows.Flow(db, web, 80)) == ""  # no policy names web


def test_what_argo_starts_again() -> None:
    data = dict(sources.argo().manifest["data"])
    assert list(settings.argo(data)) == []
    old = {"workflowDefaults": 'spec: {templateDefaults: {retryStrategy: {limit: "0", retryPolicy: OnError}}}'}  # fmt: skip
    told = " ".join(settings.argo(old))
    for part in ("retryPolicy OnError", "limit", "evicted", "failedPodRestart"):
        assert part in told
    assert world([]).pods == ()


_C0 = ("spec", "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (mistake("a variable", "StatefulSet hemix-redis", (*_C0, "env", ADD), {"name": "FOO", "value": "1"}),
         "name 'StatefulSet hemix-redis env.FOO' under changed in infra/kustomize/own.yaml"),
        (mistake("a field", "StatefulSet hemix-redis", (*_C0, "stdin"), True),
         "name 'StatefulSet hemix-redis spec.template.spec.containers[redis].stdin' under changed"),
        (mistake("a pause", "ScaledObject ranker", ("metadata", "annotations"), {"autoscaling.keda.sh/paused-replicas": "2"}),
         "min_replicas and max_replicas"),
        (mistake("a port", "NetworkPolicy predictor", ("spec", "ingress", 0, "ports", 0, "port"), 8081),
         "add {port: 8080, protocol: TCP} under ingress to the NetworkPolicy predictor"),
        (mistake("a right", "Role hemix-pipeline", ("rules", 0), GONE), "add to Role hemix-pipeline in hemix: apiGroups ['argoproj.io'], resources [workflowtaskresults]"),
        (mistake("a binding", "RoleBinding hemix-deployer", (), GONE), "a RoleBinding in hemix must name roleRef Role hemix-deployer"),
        (mistake("a size", "ResourceQuota", ("spec", "hard", "requests.ephemeral-storage"), "1Gi"), "requests.ephemeral-storage 1Gi does not hold what is applied (30Gi)"),
        (mistake("one disk", "PersistentVolumeClaim hemix-shared", ("spec", "accessModes"), ["ReadWriteOnce"]), "hemix-flink-taskmanager may have"),
    ],
    ids=lambda value: getattr(value, "title", ""),
)  # fmt: skip
def test_a_message_says_what_mends_it(change: mistakes.Mistake, told: str) -> None:
    found = " ".join(mistakes.refused(change))
    assert told in found
    assert "PROGRAMS" not in found
    assert ".py" not in found
