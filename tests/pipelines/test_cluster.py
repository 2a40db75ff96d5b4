"""Cluster settings: a user's file over the shipped one, and every value where a cluster reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hemix.components.steps import BY_NAME
from hemix.errors import DefinitionError
from hemix.pipelines.compiler.checking import check
from hemix.pipelines.compiler.cluster_settings import SHIPPED, ClusterSettings, bytes_of
from hemix.pipelines.compiler.compiler import compiled, compiled_component
from tests.pipelines.ir import documents, tasks_of

pytestmark = pytest.mark.slow

DIGEST = "sha256:" + "ab" * 32
MINE: dict[str, Any] = {
    "images": {
        "prefix": "registry.example.com:5000/ml/hemix",
        "tag": "2022-05-01",
        "digests": {"train": DIGEST},
        "pull_secrets": ["registry-key"],
    },
    "security": {"run_as_user": 1234},
    "node_selector": {"pool": "batch"},
    "env": {"AWS_REGION": "eu-west-1"},
    "secrets": {"log": {"name": "log-keys", "env": {"key": "LOG_KEY"}, "optional": True}},
    "steps": {
        "ingest": {"secrets": ["storage", "log"], "cpu": ["250m", 1]},
        "train": {
            "gpu": {"count": 2, "node_selector": {"gpu": "a100"}},
            "volumes": [{"claim": "checkpoints", "path": "/checkpoints"}],
            "retries": {"count": 3, "first_pause": "30s", "waiting": "5m"},
            "timeout": "3d",
        },
    },
}


def _settings(folder: Path, value: Any) -> ClusterSettings:
    path = folder / "mine.yaml"
    path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return ClusterSettings.load(path)


def test_the_shipped_file_has_every_step_and_a_reason_for_its_caching() -> None:
    settings = ClusterSettings.load()
    assert set(settings.steps) == set(BY_NAME)
    assert all(len(step.caching.reason) > 10 for step in settings.steps.values())
    assert not settings.steps["deploy"].caching.enabled
    assert settings.steps["stop"].retries.count == 0


def test_a_step_without_a_block_has_the_default_settings() -> None:
    shipped = yaml.safe_load(SHIPPED.read_text())
    del shipped["steps"]["deploy"]
    settings = ClusterSettings.model_validate(shipped)
    assert settings.steps["deploy"] == settings.default
    assert settings.steps["train"] == ClusterSettings.load().steps["train"]


def test_a_users_file_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    settings, shipped = _settings(tmp_path, MINE), ClusterSettings.load()
    assert settings.image("evaluate") == f"registry.example.com:5000/ml/hemix/train@{DIGEST}"
    assert settings.image("ingest") == "registry.example.com:5000/ml/hemix/features:2022-05-01"
    assert settings.env == {**shipped.env, "AWS_REGION": "eu-west-1"}
    assert settings.steps["ingest"].cpu == ("250m", "1")
    assert settings.steps["ingest"].memory == shipped.steps["ingest"].memory
    assert settings.steps["train"].retries.factor == shipped.steps["train"].retries.factor
    assert settings.steps["evaluate"] == shipped.steps["evaluate"]


def test_every_setting_reaches_the_compiled_pipeline(tmp_path: Path) -> None:
    settings = _settings(tmp_path, MINE)
    text = compiled("training", settings)
    check(text)
    spec, platform = yaml.safe_load_all(text)
    train = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert train["image"].endswith(f"/train@{DIGEST}")
    assert train["resources"]["accelerator"] == {
        "count": "2",
        "resourceCount": "2",
        "resourceType": "nvidia.com/gpu",
        "type": "nvidia.com/gpu",
    }
    step = settings.steps["train"]
    assert train["resources"]["resourceCpuRequest"] == step.cpu[0]
    assert train["resources"]["resourceCpuLimit"] == step.cpu[1]
    assert train["resources"]["resourceMemoryRequest"] == step.memory[0]
    assert train["resources"]["resourceMemoryLimit"] == step.memory[1]
    assert {"name": "AWS_REGION", "value": "eu-west-1"} in train["env"]
    (task,) = (task for name, task in tasks_of(spec) if name == "comp-train")
    assert task["retryPolicy"] == {
        "backoffDuration": "30s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": f"{4 * (3 * 86400 + 300) + 30 + 60 + 120}s",
        "maxRetryCount": 3,
    }
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    pod = pods["exec-train"]
    assert pod["activeDeadlineSeconds"] == str(3 * 24 * 3600)
    assert pod["nodeSelector"] == {"labels": {"gpu": "a100", "pool": "batch"}}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert pod["securityContext"]["runAsUser"] == "1234"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert [(m["mountPath"], m.get("medium")) for m in pod["emptyDirMounts"]] == [
        ("/tmp", None),
        ("/dev/shm", "Memory"),
    ]
    assert [(m["constant"], m["mountPath"]) for m in pod["pvcMount"]] == [
        ("checkpoints", "/checkpoints")
    ]
    assert [secret["secretName"] for secret in pod["imagePullSecret"]] == ["registry-key"]
    secrets = {s["secretName"]: s for s in pods["exec-ingest"]["secretAsEnv"]}
    assert set(secrets) == {"hemix-storage", "log-keys"}
    assert secrets["log-keys"]["optional"] is True
    assert secrets["log-keys"]["keyToEnv"] == [{"envVar": "LOG_KEY", "secretKey": "key"}]
    assert "nodeSelector" in pods["exec-stop"]
    assert "tolerations" not in pods["exec-ingest"]


def test_caching_is_as_the_settings_say() -> None:
    settings = ClusterSettings.load()
    spec, _ = documents("retraining")
    for component, task in tasks_of(spec):
        step = component.removeprefix("comp-").replace("-", "_").rstrip("_0123456789")
        enabled = task["cachingOptions"].get("enableCache", False)
        assert enabled == settings.steps[step].caching.enabled, step


def test_without_gpus_no_pod_asks_for_one(tmp_path: Path) -> None:
    text = compiled("training", _settings(tmp_path, {"steps": {"train": {"gpu": {"count": 0}}}}))
    assert "nvidia.com" not in text


def test_a_component_alone_takes_the_image_of_the_settings(tmp_path: Path) -> None:
    text = compiled_component("train", _settings(tmp_path, MINE))
    assert f"image: registry.example.com:5000/ml/hemix/train@{DIGEST}" in text
    assert "image: localhost/hemix/train:" in compiled_component("train")  # the first left no trace


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"image": {}}, "image: no such key; did you mean images"),
        ({"images": {"tag": "latest"}}, "never latest"),
        ({"images": {"tag": ""}}, "never latest"),
        ({"images": {"prefix": "Registry/"}}, "prefix 'Registry/'"),
        ({"images": {"digests": {"train": "sha256:1"}}}, "images.digests.train"),
        ({"images": {"digests": {"tarin": DIGEST}}}, "images.digests.tarin"),
        ({"security": {"run_as_user": 0}}, "security.run_as_user"),
        ({"steps": {"trian": {}}}, "steps.trian"),
        ({"steps": {"train": {"cpus": ["1", "2"]}}}, "steps.train.cpus"),
        ({"steps": {"train": {"cpu": ["4", "500m"]}}}, "steps.train.cpu: the request 4 is above"),
        ({"steps": {"train": {"memory": ["2Gi", "2G"]}}}, "steps.train.memory: the request 2Gi"),
        ({"steps": {"train": {"memory": ["2", "2Gi"]}}}, "steps.train.memory[0]"),
        ({"steps": {"train": {"shared_memory": "32Gi"}}}, "steps.train.shared_memory: 32Gi"),
        ({"steps": {"train": {"timeout": 0}}}, "steps.train.timeout"),
        ({"steps": {"train": {"timeout": "soon"}}}, "steps.train.timeout"),
        ({"steps": {"train": {"caching": {"reason": ""}}}}, "steps.train.caching.reason"),
        ({"steps": {"train": {"secrets": ["nosuch"]}}}, "steps.train.secrets: nosuch"),
        ({"steps": {"train": {"retries": {"count": 99}}}}, "steps.train.retries.count"),
        ("images: [", "not valid YAML"),
        ("- 1", "mapping of keys"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        _settings(tmp_path, value)
    assert told in caught.value.message
    assert "mine.yaml" in caught.value.message


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"none\.yaml: cannot read"):
        ClusterSettings.load(tmp_path / "none.yaml")


def test_memory_in_bytes() -> None:
    assert [bytes_of(q) for q in ("1Ki", "1K", "2Gi", "1.5M")] == [1024, 1000, 2 * 1024**3, 1.5e6]


def test_the_shipped_file_is_part_of_the_package() -> None:
    assert SHIPPED.is_file()
