"""Names of the installation's own, fields as shipped, and the file that a message names."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemix.errors import DefinitionError
from hemix.infra.check.rules import own
from hemix.infra.check.rules.policy import shipped
from hemix.infra.check.rules.policy.files import located
from hemix.infra.check.rules.policy.programs import published
from hemix.infra.check.rules.world import World

SERVER = "Deployment hemix-flink-jobserver"


def test_nothing_is_added_as_shipped() -> None:
    assert own.load(own.FILE) == own.Own()
    assert own.load(Path("/nowhere/own.yaml")) == own.Own()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "priority_clases: [x]",
            "line 1: priority_clases: no such key; did you mean priority_classes?",
        ),
        ("images: registry.example.com/x", "line 1: images: a list is wanted"),
        ("images:\n- 1", "line 2: images[0]: 1 is not text; put it in quotes."),
        ("secrets: {a: [b}", "not valid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(DefinitionError) as caught:
        own.load(path)
    assert caught.value.message.startswith(f"{path}: {told}")


def test_a_field_that_is_meant_otherwise_is_said_in_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "hemix-redis", "namespace": "team", "labels": {}},
        "spec": {"clusterIP": "None", "sessionAffinity": "ClientIP"},
    }
    lacking = World((manifest,), (), (), "team")
    found = [p for p in shipped.problems(lacking) if "sessionAffinity" in p]
    assert found == [
        'Service hemix-redis: spec.sessionAffinity is "ClientIP", and nothing is said there as shipped: take it out; '
        "if you mean it so, name 'Service hemix-redis spec.sessionAffinity' under changed in infra/kustomize/own.yaml"
    ]
    meant = own.Own(changed=["Service hemix-redis spec.sessionAffinity"])
    monkeypatch.setattr(shipped, "own", lambda: meant)
    assert not [p for p in shipped.problems(lacking) if "sessionAffinity" in p]


@pytest.mark.parametrize(
    ("problem", "file"),
    [
        (f"{SERVER}: spec.x", "infra/flink/jobserver.yaml"),
        ("ConfigMap hemix-redis-dkcm6dm8ct: redis.conf: x", "infra/kustomize/base/redis.conf"),
        ("ResourceQuota: x", "infra/kustomize/base/quota.yaml"),
        ("InferenceService ranker spec.predictor: x", "hemix deploy"),
        ("step trigger: x", ""),
    ],
)
def test_a_message_begins_with_its_file(problem: str, file: str) -> None:
    assert located(problem) == (f"{file}: {problem}" if file else problem)


@pytest.mark.parametrize(
    ("repository", "program"),
    [
        ("mirror.example.com/library/redis", "docker.io/library/redis"),
        ("mirror.example.com:5000/hub/redis", "docker.io/library/redis"),
        ("docker.io/somebody/redis", "docker.io/somebody/redis"),
        ("mirror.example.com/bitnami/redis", "mirror.example.com/bitnami/redis"),
    ],
)
def test_a_mirror_holds_the_same_program(repository: str, program: str) -> None:
    assert published(repository) == program
