"""A training that begins with the champion's weights: what ids mean, provenance, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hemix.components.train import step
from hemix.components.train.warm import Warm, contents_of, read_weights, warm_weights, write_weights
from hemix.errors import ModelVersionError
from hemix.features.transform.columns import example_files
from hemix.models.training.recipes import recipe_of
from hemix.models.versions.version import load, read_manifest
from hemix.spec import FeatureSpec
from tests.small import SmallRun

WARM = {"training.warm_start": "champion"}


@pytest.fixture(scope="module")
def spec(small_run: SmallRun) -> FeatureSpec:
    return FeatureSpec.read(small_run.transform / "spec.json")


@pytest.fixture(scope="module")
def warm(small_run: SmallRun, spec: FeatureSpec) -> Warm:
    """The champion's weights under the transform that it was trained with."""
    champion = small_run.model_named("tiny")
    found = warm_weights(recipe_of("tiny", WARM), spec, small_run.transform, str(champion))
    assert found is not None
    return found


def test_values_and_scales_are_those_of_the_transformed_rows(small_run: SmallRun) -> None:
    meaning = contents_of(small_run.transform)
    train = pq.read_table(small_run.transformed / "train")
    keys = ["user_id", "item_id", "event_time", "request_id"]
    raw = pq.read_table(
        example_files(small_run.examples)[0], columns=[*keys, "tab", "friend_user_num"]
    )
    one = raw.slice(0, 200).to_pylist()
    by_key = {tuple(row[k] for k in keys): row for row in train.to_pylist()}
    compared = 0
    for example in one:
        row = by_key.get(tuple(example[k] for k in keys))
        if row is None:  # the split's other windows
            continue
        compared += 1
        for field in ("user_id", "item_id", "tab"):
            place = row[f"{field}_index"] - 1 - meaning.spec.vocabulary(field).oov_buckets
            if example[field] is not None and place >= 0:
                assert meaning.values[field][place] == str(example[field]).encode()
        friends, scale = example["friend_user_num"], meaning.scales["friend_user_num_scaled"]
        if friends is not None:
            y = (np.log1p(friends) - scale.mean) / scale.deviation
            assert row["friend_user_num_scaled"] == pytest.approx(y, abs=1e-4)
            bucket = 1 + sum(friends >= edge for edge in scale.edges)
            assert row["friend_user_num_bucket"] == bucket
    assert compared > 50


def test_the_same_transform_keeps_every_weight(small_run: SmallRun, warm: Warm) -> None:
    for name, weight in load(small_run.model_named("tiny")).ranker.named_parameters():
        torch.testing.assert_close(warm.weights[name], weight, atol=1e-6, rtol=1e-5)
    assert sum(warm.source.new.values()) == 0
    assert warm.source.fresh == ()
    assert warm.source.version == "small-tiny"


def test_without_a_champion_training_begins_anew(
    small_run: SmallRun, spec: FeatureSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    assert warm_weights(recipe_of("tiny", WARM), spec, small_run.transform, "") is None
    assert "no champion yet" in capsys.readouterr().out
    assert warm_weights(recipe_of("tiny"), spec, small_run.transform, "anything") is None


def test_a_changed_or_foreign_version_is_refused(
    small_run: SmallRun, spec: FeatureSpec, tmp_path: Path
) -> None:
    champion = tmp_path / "champion"
    shutil.copytree(small_run.model_named("tiny"), champion)
    weights = champion / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    for recipe, place, named in (
        (recipe_of("tiny", WARM), str(champion), "SHA-256 differs"),
        (recipe_of("tiny", WARM), str(tmp_path), "not a model version"),
        (recipe_of("tiny", {"training.warm_start": str(tmp_path)}), "", "not a model version"),
        (recipe_of("din", WARM), str(small_run.model_named("tiny")), "a hemix, the recipe a din"),
    ):
        with pytest.raises(ModelVersionError, match=named):
            warm_weights(recipe, spec, small_run.transform, place)


def test_an_unsigned_version_is_refused_where_signatures_are_asked_for(
    small_run: SmallRun, spec: FeatureSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    monkeypatch.setenv("HEMIX_VERIFY_KEY", pem.decode())
    with pytest.raises(ModelVersionError, match="not signed"):
        warm_weights(
            recipe_of("tiny", WARM), spec, small_run.transform, str(small_run.model_named("tiny"))
        )


def test_weights_travel_to_other_processes(warm: Warm, tmp_path: Path) -> None:
    arrived = read_weights(write_weights(warm, str(tmp_path)))
    assert arrived is not None
    assert arrived.keys() == warm.weights.keys()
    assert all(torch.equal(arrived[name], warm.weights[name]) for name in arrived)
    assert write_weights(None, str(tmp_path)) == ""
    assert read_weights("") is None


@pytest.mark.slow
def test_the_manifest_says_where_the_weights_came_from(small_run: SmallRun, tmp_path: Path) -> None:
    champion = small_run.model_named("tiny")
    step.run(
        transformed=small_run.transformed,
        transform=small_run.transform,
        recipe="tiny",
        overrides=WARM,
        version="small-warm",
        feature_service="ranker_small_warm",
        checkpoints=tmp_path / "checkpoints",
        champion=str(champion),
        out_model=tmp_path / "model",
        out_curves=tmp_path / "curves",
    )
    manifest = read_manifest(tmp_path / "model")
    assert manifest.warm_start is not None
    assert manifest.warm_start.version == "small-tiny"
    assert manifest.warm_start.weights == read_manifest(champion).files["model.safetensors"]
    assert read_manifest(champion).warm_start is None
    assert load(tmp_path / "model").manifest.version == "small-warm"
