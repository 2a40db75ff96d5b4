"""Every kubectl command of a page: kubectl takes its words, and the installation has what it names."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from hemix.infra.check import mistakes, together
from hemix.infra.check.rules.named_by_pods import secrets
from hemix.infra.check.rules.world import World
from tests.docs.kubectl import problems
from tests.docs.pages import PAGES, ROOT, commands, filled
from tests.infra.tools import need

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installation() -> World:
    """Production, with what ``hemix deploy`` and a training put there."""
    need("kubectl")
    site = mistakes.site_of("shipped")
    return together.built(site.overlay, site.applied)


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """Command -> page, once each."""
    pages = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}
    return {c.text: page for page, text in pages.items() for c in commands(text, "kubectl")}


def test_what_they_name_is_there(told: dict[str, str], installation: World) -> None:
    found = {
        f"{page}: {command}": wrong
        for command, page in told.items()
        if (wrong := problems(command, installation))
    }
    assert not found
    pages = set(told.values())
    assert {
        "docs/operator/runbook.md",
        "docs/operator/cluster.md",
        "docs/operator-guide.md",
    } <= pages


def test_every_secret_that_is_read_is_made(told: dict[str, str]) -> None:
    made = [shlex.split(command) for command in told if " create secret " in command]
    assert {words[words.index("secret") + 2] for words in made} == set(secrets())


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("kubectl -n NS get configmap ranker-predictor -o yaml", "no ConfigMap ranker-predictor"),
        ("kubectl -n hemix-prod get pods", "of ours in namespace hemix-prod"),
        ("kubectl get inferenceservices", "in namespace None"),
        ("kubectl -n NS get gizmos", "the kind gizmos"),
        ("kubectl -n NS logs -l serving.kserve.io/inferenceservice=rankers", "no pod has"),
        ("kubectl -n NS logs -l serving.kserve.io/inferenceservice=ranker -c kserve", "kserve"),
        ("kubectl -n NS get pods --field-selector status.phase=Fail", "ever status.phase=Fail"),
        ("kubectl -n NS get pods -o jsonpath={.items}", "nobody checks this"),
        ("kubectl -n NAMESPACE get pods", "what to put for NAMESPACE"),
        ("kubectl -n kubeflow rollout restart deployment/workflow", "no Deployment workflow"),
        ("kubectl -n NS rollout restart deployment/hemix-redis", "no Deployment hemix-redis"),
        ("kubectl label namespace GATEWAY-NAMESPACE hemix/gate=true", "hemix/gate=true"),
        ("kubectl -n NS annotate secret hemix-storage a/s3=x", "the annotation a/s3"),
        ("kubectl -n NS create secret generic hemix-redis --from-literal=pass=x", "['password']"),
        ("kubectl -n NS create secret generic hemix-mine --from-literal=a=x", "hemix-mine"),
        ("kubectl apply --server-side -k infra/kserv", "nothing for kustomize"),
        ("kubectl -n NS cordon node", "nobody checks kubectl cordon"),
    ],
)
def test_what_is_not_there_is_found(command: str, why: str, installation: World) -> None:
    assert why in " ".join(problems(command, installation))


def test_kubectl_takes_their_words(told: dict[str, str], tmp_path: Path) -> None:
    """What is right gets as far as asking the API server, which does not listen."""
    need("kubectl", "openssl")
    (tmp_path / "infra").symlink_to(ROOT / "infra")
    key = ["openssl", "req", "-x509", "-nodes", "-newkey", "ed25519", "-subj", "/CN=a"]
    key += ["-keyout", "tls.key", "-out", "tls.crt"]  # what the operator brings
    subprocess.run(key, cwd=tmp_path, check=True, capture_output=True)
    for name in ("private.pem", "public.pem"):
        (tmp_path / name).write_text("a key")
    shapes = {tuple(filled(w) for w in shlex.split(c) if w != "...") for c in told}
    wrong = ("kubectl", "get", "pods", "--field-selektor", "a=b")
    for words in {*shapes, wrong}:
        asked = subprocess.run(
            [*words, "--server=http://127.0.0.1:1", "--request-timeout=1s"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ("refused" in asked.stderr) != (words == wrong), (words, asked.stderr)
