from __future__ import annotations

from pathlib import Path

import pytest

from hemix.errors import GateFailed, ModelVersionError, RegistryError
from hemix.files import sha256_folder
from hemix.serving.registry.opening import open_registry
from hemix.serving.registry.signing import require_signed
from hemix.serving.registry.signing_keys import SIGNING_KEY, VERIFY_KEY
from tests.serving.live import Workshop
from tests.serving.registry.test_signing import key_pair

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


def test_without_the_private_key_it_says_that_it_does_not_sign(
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As with a Secret that holds public.pem alone; and with both keys it signs."""
    private, public = key_pair(tmp_path, "ours")
    monkeypatch.setenv(VERIFY_KEY, public.read_text())
    workshop.deploy(tmp_path, "v1")
    assert f"deploy: v1 is NOT signed: {SIGNING_KEY} is not set" in capsys.readouterr().out
    registry = open_registry(tmp_path / "registry")
    with pytest.raises(ModelVersionError, match="is not signed"):
        require_signed(registry.folder("v1"))
    monkeypatch.setenv(SIGNING_KEY, private.read_text())
    workshop.deploy(tmp_path, "v2")
    assert "deploy: v2 is signed as it enters" in capsys.readouterr().out
    require_signed(registry.folder("v2"))


def test_a_share_out_of_range_is_refused(
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    workshop.deploy(tmp_path, "v1")
    with pytest.raises(RegistryError, match=r"share 1\.5"):
        workshop.deploy(tmp_path, "v2", share=1.5)
