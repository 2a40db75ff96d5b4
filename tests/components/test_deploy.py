from __future__ import annotations

from pathlib import Path

import pytest

from hemix.errors import GateFailed, RegistryError
from hemix.files import sha256_folder
from tests.serving.live import Workshop

pytestmark = pytest.mark.slow


def test_first_champion_then_challenger_and_again_the_same(
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    first = workshop.deploy(tmp_path, "v1", share=0.2)
    assert (first["version"], first["state"]) == ("v1", "champion")
    assert first["variants"] == [{"name": "champion", "version": "v1", "share": 1.0}]
    second = workshop.deploy(tmp_path, "v2", share=0.2)
    assert second["state"] == "challenger"
    assert [v["share"] for v in second["variants"]] == [pytest.approx(0.8), 0.2]
    before = sha256_folder(tmp_path / "registry")
    assert workshop.deploy(tmp_path, "v2", share=0.2) == second
    assert sha256_folder(tmp_path / "registry") == before


def test_a_failed_gate_changes_nothing(
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    workshop.deploy(tmp_path, "v1")
    before = {name: sha256_folder(tmp_path / name) for name in ("registry", "feature_store")}
    with pytest.raises(GateFailed, match=r"auc: 0\.4 must be at least 0\.5"):
        workshop.deploy(tmp_path, "v2", verdict="failed")
    assert before == {n: sha256_folder(tmp_path / n) for n in ("registry", "feature_store")}
    assert not (tmp_path / "deployment-v2.json").exists()


def test_a_share_out_of_range_is_refused(
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    workshop.deploy(tmp_path, "v1")
    with pytest.raises(RegistryError, match=r"share 1\.5"):
        workshop.deploy(tmp_path, "v2", share=1.5)
