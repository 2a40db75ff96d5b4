"""An overlay of a user's own: in its namespace, with its settings, and patches that mean something."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hemix.errors import DefinitionError
from hemix.infra.check import together
from hemix.infra.check.__main__ import main
from hemix.infra.check.objects import ROOT, Object, kustomized
from hemix.infra.check.rules import own
from hemix.infra.check.users import targets
from hemix.infra.check.users.settings import Files, given, home_of
from tests.infra.tools import need

KUSTOMIZE = ROOT / "infra" / "kustomize"
IMAGES = (KUSTOMIZE / "components" / "images" / "kustomization.yaml").read_text()


def written(folder: Path, text: str) -> Path:
    """An overlay over dev, outside the repository."""
    base = os.path.relpath(KUSTOMIZE / "overlays" / "dev", folder.resolve())
    (folder / "kustomization.yaml").write_text(f"resources: [{base}]\n{text}")
    return folder


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Object]]:
    """Another namespace and another registry, as docs/operator/cluster.md says."""
    need("kubectl")
    folder = written(tmp_path_factory.mktemp("team"), "namespace: team-b\ncomponents: [images]\n")
    (folder / "images").mkdir()
    mine = IMAGES.replace("registry.example.com", "registry.corp.example")
    (folder / "images" / "kustomization.yaml").write_text(mine)
    (folder / "cluster.yaml").write_text(
        "images: {prefix: registry.corp.example/hemix}\nsteps: {train: {gpu: {count: 0}}}\n"
    )
    return folder, kustomized(folder)


def test_what_is_made_for_an_overlay_follows_its_namespace_and_registry(
    team: tuple[Path, list[Object]],
) -> None:
    folder, objects = team
    assert home_of(objects) == "team-b"
    settings = given(objects, Files().beside(folder))
    assert settings.deployment.image.startswith("registry.corp.example/hemix/serve:")
    assert together.problems(objects, None, settings) == []
    (told,) = together.problems(objects)  # without the settings: the registry alone disagrees
    assert told.startswith("hemix/train is pulled as localhost/")


def test_settings_of_another_namespace_or_image_are_told(
    team: tuple[Path, list[Object]], tmp_path: Path
) -> None:
    folder, objects = team
    deploy = tmp_path / "deploy.yaml"
    deploy.write_text("name: ranker\n")
    with pytest.raises(DefinitionError, match=r"deploy\.yaml: namespace is hemix, and .* team-b"):
        given(objects, Files(deploy=deploy).beside(folder))
    deploy.write_text("namespace: team-b\nimage: elsewhere.example/hemix/serve:0.1.0\n")
    with pytest.raises(
        DefinitionError, match=r"elsewhere\.example.* is not the one of the cluster"
    ):
        given(objects, Files(deploy=deploy).beside(folder))
    training = tmp_path / "training_cluster.yaml"
    training.write_text("restarts: 1\n")
    found = given(objects, Files(training_cluster=training).beside(folder)).training
    assert (found.namespace, found.restarts) == ("team-b", 1)


def test_a_kubernetes_object_of_such_a_name_is_no_settings_file(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\n")
    (tmp_path / "own.yaml").write_text("rights: []\n")
    assert Files().beside(tmp_path) == Files(own=tmp_path / "own.yaml")


def test_names_of_ones_own_are_read_beside_the_overlay(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("gateway_classes: [team]\n")
    try:
        own.use(path)
        assert own.own().gateway_classes == ["team"]
        assert own.mend("rights").endswith(f"under rights in {path}")
    finally:
        own.use(None)
    assert own.own() == own.load(own.FILE)


OBJECTS = [
    Object("t", {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}})
    for version, kind, name, labels in (
        ("v1", "ResourceQuota", "hemix", {"tier": "a"}),
        ("v1", "ConfigMap", "hemix-redis-dkcm6dm8ct", {}),
        ("apps/v1", "StatefulSet", "hemix-redis", {}),
    )
]


@pytest.mark.parametrize(
    ("target", "hits"),
    [
        ("{kind: ResourceQuota, name: hemix}", True),
        ("{kind: ResourceQuota, name: hemi}", False),
        ("{kind: ResourceQuota, labelSelector: tier=a}", True),
        ("{kind: ResourceQuota, labelSelector: tier=b}", False),
        ("{kind: ConfigMap, name: hemix-redis}", True),
        ("{name: hemix-.*}", True),
        ("{group: apps, version: v1, kind: StatefulSet}", True),
        ("{group: batch, kind: StatefulSet}", False),
        ("{kind: Deployment, name: hemix-redis}", False),
    ],
)
def test_a_target_means_an_object(tmp_path: Path, target: str, hits: bool) -> None:
    (tmp_path / "kustomization.yaml").write_text("components: [part]\n")
    (tmp_path / "part").mkdir()
    file = tmp_path / "part" / "kustomization.yaml"
    file.write_text(f"patches:\n  - target: {target}\n    patch: '- {{op: remove, path: /a}}'\n")
    found = targets.problems(tmp_path, OBJECTS)
    assert bool(found) != hits
    assert all(f"{file}: patches: the target {target} names no object" in told for told in found)


def test_what_a_patch_takes_away_is_not_missed(tmp_path: Path) -> None:
    target = "{kind: Gateway, name: hemix-gateway}"
    (tmp_path / "gone.yaml").write_text("kind: Gateway\n$patch: delete\n")
    (tmp_path / "kustomization.yaml").write_text(
        f"patches:\n  - {{target: {target}, patch: x}}\n  - {{target: {target}, path: gone.yaml}}\n"
    )
    assert targets.problems(tmp_path, OBJECTS) == []


@pytest.mark.parametrize(
    ("image", "replaced"),
    [
        ("{name: docker.io/library/redis, newTag: 7.4.3}", True),
        ("{name: docker.io/library/redis, newName: registry.example.com:5000/redis}", False),
        ("{name: redis, newTag: 7.4.3}", False),
        ("{name: localhost/hemix/features, newName: registry.example.com/features}", True),
        ("{name: localhost/hemix/feature, newName: registry.example.com/features}", False),
    ],
)
def test_an_image_that_no_container_has_is_told(tmp_path: Path, image: str, replaced: bool) -> None:
    pod = {
        "initContainers": [{"image": "a"}],
        "containers": [{"image": "docker.io/library/redis:7"}],
    }
    workload = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "redis"}}
    objects = [Object("x", workload | {"spec": {"template": {"spec": pod}}})]
    (tmp_path / "kustomization.yaml").write_text(f"images: [{image}]\n")
    found = targets.problems(tmp_path, objects)
    assert bool(found) != replaced
    assert all("the overlay's images are a, docker.io/library/redis" in told for told in found)


def test_a_patch_that_hits_nothing_is_told_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("kubectl")
    patch = "- {op: replace, path: /spec/hard/pods, value: '5'}"
    target = "{kind: ResourceQuota, name: hemx}"
    written(tmp_path, f"patches:\n  - target: {target}\n    patch: |\n      {patch}\n")
    assert main(["--overlay", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "name: hemx} names no object, so its patch does nothing" in told.err
    assert "objects of kind ResourceQuota are hemix" in told.err
    assert told.out.endswith("cluster-check: 1 objects checked, 1 refused\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--overlay", "nowhere"], "--overlay nowhere: there is no such folder."),
        (["--overlay", "."], "--overlay .: there is no kustomization.yaml in it."),
        (["--settings", "no.yaml"], "--settings no.yaml: there is no such file."),
        (["--own", "a.yaml"], "--own a.yaml: is read for an overlay; add --overlay FOLDER."),
    ],
)
def test_wrong_paths_are_told(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("{}")
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"{told}\n"
