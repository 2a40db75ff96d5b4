"""Refusals of a real API server, and what becomes of requests that it does not answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hemix.errors import EnvironmentProblem
from hemix.serving.kubernetes.api import Cluster, connect
from hemix.serving.kubernetes.errors import ClusterError, FieldConflict, Forbidden, MissingKind
from hemix.serving.kubernetes.owned import is_ours, owned
from hemix.serving.kubernetes.refusals import refusal
from tests.serving.kubernetes.conftest import write_kubeconfig
from tests.serving.kubernetes.core import Proxy

ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "r"},
    "spec": {"hostnames": ["a.example.com"]},
}


def test_apply_get_list_delete(cluster: Cluster) -> None:
    assert cluster.get(ROUTE) is None
    assert cluster.apply(ROUTE, dry_run=True)["spec"]["hostnames"] == ["a.example.com"]
    assert cluster.get(ROUTE) is None
    cluster.apply(ROUTE)
    live = cluster.get(ROUTE)
    assert live is not None
    assert is_ours(live)
    # What the server itself filled in is not ours.
    assert "rules" in live["spec"]
    assert owned(live)["spec"] == ROUTE["spec"]
    (listed,) = cluster.list(ROUTE["apiVersion"], "HTTPRoute", selector="")  # type: ignore[arg-type]
    assert listed["kind"] == "HTTPRoute"
    cluster.delete(ROUTE)
    cluster.delete(ROUTE)
    assert cluster.get(ROUTE) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"hostnames": ["not a host"]}, r"apply HTTPRoute r: spec\.hostnames\[0\]: Invalid value"),
        ({"hostname": ["a"]}, r"apply HTTPRoute r: \.spec\.hostname: field not declared"),
        ({"hostnames": 7}, r"apply HTTPRoute r: \.spec\.hostnames: expected list, got"),
    ],
)
def test_what_is_invalid_is_named(cluster: Cluster, spec: object, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        cluster.apply({**ROUTE, "spec": spec})


def test_kinds_that_a_cluster_lacks(cluster: Cluster) -> None:
    with pytest.raises(MissingKind, match=r"knows no Thing of serving\.kserve\.io/v9") as caught:
        cluster.kind("serving.kserve.io/v9", "Thing")
    assert caught.value.hint == "Install KServe 0.20 or later."
    with pytest.raises(MissingKind, match="knows no Thing"):
        cluster.get({"apiVersion": "keda.sh/v1alpha1", "kind": "Thing", "metadata": {"name": "x"}})


def test_credentials_that_are_not_accepted(crd_kubeconfig: Path, tmp_path: Path) -> None:
    text = crd_kubeconfig.read_text()
    certificates = text[text.index("user: {client-certificate") :]
    file = tmp_path / "kubeconfig"
    file.write_text(text.replace(certificates, "user: {token: expired}}]\n"))
    cluster = connect(namespace="any", kubeconfig=file)
    with pytest.raises(ClusterError, match="does not accept the credentials") as caught:
        cluster.get(ROUTE)
    assert "token may have expired" in caught.value.hint


def test_a_refused_right_names_it() -> None:
    """The server of the tests knows no RBAC: the answer is one of Kubernetes 1.31's own."""
    message = (
        'httproutes.gateway.networking.k8s.io "r" is forbidden: User "ana" cannot patch resource '
        '"httproutes" in API group "gateway.networking.k8s.io" in the namespace "hemix"'
    )
    body = json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": 403})
    error = refusal(403, body, "apply HTTPRoute r", "hemix")
    assert isinstance(error, Forbidden)
    assert 'User "ana" cannot patch' in error.message
    assert "hemix-deployer" in error.hint


@pytest.mark.parametrize("body", ["", "<html>bad gateway</html>", b"\xff", "[]", "null"])
def test_whatever_stands_in_the_way_is_told(body: str | bytes) -> None:
    assert "answered 502" in refusal(502, body, "read x", "hemix").message


@pytest.mark.slow
def test_no_one_answers(tmp_path: Path) -> None:
    file = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9")
    with pytest.raises(ClusterError, match=r"No answer .*127\.0\.0\.1:9.*refused"):
        connect(namespace="any", kubeconfig=file, timeout_s=2).get(ROUTE)


def test_a_server_that_is_starting_is_asked_again(cluster: Cluster, proxy: Proxy) -> None:
    proxy.refuse = 2
    cluster.apply(ROUTE)
    assert cluster.get(ROUTE) is not None


@pytest.mark.parametrize("text", [None, "a: [", "{}", "contexts: 7"])
def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if text is not None:
        file.write_text(text)
    with pytest.raises(EnvironmentProblem, match="No cluster"):
        connect(namespace="any", kubeconfig=file)


def test_without_a_kubeconfig_or_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.config import kube_config

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(EnvironmentProblem, match="No cluster") as caught:
        connect(namespace="any")
    assert "--kubeconfig" in caught.value.hint


def test_a_conflict_says_whose_the_field_is(cluster: Cluster, proxy: Proxy) -> None:
    import urllib.request

    url = (
        f"{proxy.url}/apis/gateway.networking.k8s.io/v1/namespaces/{cluster.namespace}"
        "/httproutes/r?fieldManager=argocd"
    )
    theirs = urllib.request.Request(
        url,
        data=json.dumps({**ROUTE, "spec": {"hostnames": ["b.example.com"]}}).encode(),
        headers={"Content-Type": "application/apply-patch+yaml"},
        method="PATCH",
    )
    urllib.request.urlopen(theirs, timeout=60).close()
    with pytest.raises(FieldConflict, match=r"\.spec\.hostnames belongs to argocd"):
        cluster.apply(ROUTE)
    cluster.apply(ROUTE, force=True)
