"""Where the server is: flags before environment before the pod's files and the kubeconfig."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hemix.errors import DefinitionError, EnvironmentProblem
from hemix.pipelines.kfp_client import connection
from hemix.pipelines.kfp_client.connection import resolve


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No kubeconfig of whoever runs the tests."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")


def test_flags_come_before_the_environment() -> None:
    known = {
        "HEMIX_KFP_HOST": "https://env",
        "HEMIX_KFP_NAMESPACE": "env",
        "HEMIX_KFP_TOKEN": "env",
    }
    told = resolve(host="https://flag", namespace="flag", token="flag", environment=known)
    assert (told.host, told.namespace, told.read_token()) == ("https://flag", "flag", "flag")
    told = resolve(environment=known)
    assert (told.host, told.namespace, told.read_token()) == ("https://env", "env", "env")


def test_our_variables_come_before_those_of_kfp() -> None:
    known = {"KF_PIPELINES_ENDPOINT": "https://kfp"}
    assert resolve(namespace="x", environment=known).host == "https://kfp"
    known["HEMIX_KFP_HOST"] = "https://hemix"
    assert resolve(namespace="x", environment=known).host == "https://hemix"


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("kfp.example.com", "https://kfp.example.com"),
        ("kfp.example.com/pipeline/", "https://kfp.example.com/pipeline"),
        ("localhost:8888", "http://localhost:8888"),
        ("127.0.0.1:8888", "http://127.0.0.1:8888"),
        ("http://ml-pipeline:8888", "http://ml-pipeline:8888"),
    ],
)
def test_a_host_is_an_address(said: str, host: str) -> None:
    assert resolve(host=said, namespace="x", environment={}).host == host


def test_a_host_that_is_no_address_is_refused() -> None:
    with pytest.raises(DefinitionError, match="ftp://x"):
        resolve(host="ftp://x", namespace="x", environment={})


def test_nothing_at_all_says_what_to_do() -> None:
    with pytest.raises(EnvironmentProblem, match="--host"):
        resolve(environment={})


def test_in_a_pod_the_own_cluster_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "namespace").write_text("hemix\n")
    (tmp_path / "token").write_text("of-the-pod\n")
    monkeypatch.setattr(connection, "_POD_NAMESPACE", tmp_path / "namespace")
    monkeypatch.setattr(connection, "POD_TOKEN", tmp_path / "token")
    told = resolve(environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert told.host == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
    assert (told.namespace, told.read_token()) == ("hemix", "of-the-pod")


def kubeconfig(folder: Path, namespace: str = "ranker") -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [
                    {
                        "name": "here",
                        "context": {"cluster": "c", "user": "u", "namespace": namespace},
                    }
                ],
                "clusters": [{"name": "c", "cluster": {"server": "https://10.1.2.3:6443"}}],
                "users": [{"name": "u", "user": {"token": "of-the-user"}}],
            }
        )
    )
    return path


def test_a_kubeconfig_gives_namespace_and_a_way_through_the_cluster(tmp_path: Path) -> None:
    known = {"KUBECONFIG": str(kubeconfig(tmp_path))}
    told = resolve(environment=known)
    assert told.namespace == "ranker"
    assert told.host == (
        "https://10.1.2.3:6443/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
    )
    assert "of-the-user" not in repr(told)
    named = resolve(host="https://kfp.example.com", environment=known)
    assert (named.host, named.namespace) == ("https://kfp.example.com", "ranker")
    assert named.kubeconfig is None


def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path)
    path.write_text(path.read_text().replace("current-context: here", "current-context: away"))
    with pytest.raises(EnvironmentProblem, match=str(path)):
        resolve(environment={"KUBECONFIG": str(path)})


def test_a_token_file_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    told = resolve(host="https://x", namespace="x", token_file=path, environment={})
    assert told.read_token() == "one"
    path.write_text("two\n")
    assert told.read_token() == "two"
    path.unlink()
    with pytest.raises(EnvironmentProblem, match="token"):
        told.read_token()


def test_a_token_is_not_shown() -> None:
    told = resolve(host="https://x", namespace="x", token="secret", environment={})
    assert "secret" not in repr(told)
