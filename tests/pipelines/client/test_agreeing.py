"""What is passed along says what the cluster settings say; what a monitor starts is worked out now."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hemix.components.steps import default_image
from hemix.errors import DefinitionError
from hemix.pipelines.compiler.checking import check
from hemix.pipelines.compiler.cluster_settings import ClusterSettings, Retries
from hemix.pipelines.compiler.compiler import compiled
from hemix.pipelines.kfp_client.agreeing import agreed
from hemix.pipelines.kfp_client.arguments import parse_parameters
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings

CPU = "steps: {train: {gpu: {count: 0}}}\nimages: {prefix: registry.example.com/hemix}\n"


def _settings(folder: Path, text: str) -> ClusterSettings:
    (folder / "cluster.yaml").write_text(text)
    return ClusterSettings.load(folder / "cluster.yaml")


def test_images_stand_in_one_place(tmp_path: Path) -> None:
    settings = _settings(tmp_path, CPU)
    made = agreed({"cluster": "namespace: hemix\n", "training_cluster": "{volume: v}"}, settings)
    serve = yaml.safe_load(made["cluster"])
    assert serve == {"namespace": "hemix", "image": settings.images.reference("serve")}
    assert yaml.safe_load(made["training_cluster"])["image"] == settings.images.reference("train")
    assert agreed(made, settings) == made
    with pytest.raises(DefinitionError, match="is not the one of the cluster settings"):
        agreed({"cluster": "image: example.com/hemix/serve:1\n"}, settings)
    with pytest.raises(DefinitionError, match="would hold 1 GPU meanwhile"):
        agreed({"training_cluster": "{volume: v}"}, ClusterSettings.load())
    assert DeploymentSettings().image == default_image("serve")


def test_a_mapping_is_set_entry_by_entry(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text("namespace: hemix\n")
    inputs = {"parameters": {"parameterType": "STRUCT"}, "pipeline": {"parameterType": "STRING"}}
    pairs = [
        f"parameters.cluster=@{tmp_path / 'deploy.yaml'}",
        "parameters.running_experiment=queue",
    ]
    found = parse_parameters(pairs, inputs, "monitoring")
    assert found == {"parameters": {"cluster": "namespace: hemix\n", "running_experiment": "queue"}}
    with pytest.raises(DefinitionError, match="no parameter 'pipeline"):
        parse_parameters(["pipeline.x=1"], inputs, "monitoring")


def test_all_attempts_fit_into_the_window() -> None:
    retries = Retries(count=2, first_pause=60, factor=3, waiting=600)
    assert retries.window_s(1000) == 3 * 1600 + 60 + 180
    assert Retries(count=0).window_s(10) == 3610
    text = compiled("backfill")
    short = text.replace("backoffMaxDuration: ", "backoffMaxDuration: 600s # ")
    with pytest.raises(DefinitionError, match="attempts must end within 600 s of the first start"):
        check(short)
    with pytest.raises(DefinitionError, match="Argo takes whole numbers"):
        check(text.replace("backoffFactor: 2.0", "backoffFactor: 1.5"))
