"""Models signed with a key, and what is refused: unsigned, another key, any changed file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hemix.errors import DefinitionError, ModelVersionError
from hemix.files import sha256_file, write_json
from hemix.models.versions.files import SIGNATURE
from hemix.models.versions.version import verify
from hemix.serving.registry.opening import open_registry
from hemix.serving.registry.signing import require_signed, sign, verify_signature
from hemix.serving.registry.signing_keys import SIGNING_KEY, VERIFY_KEY


def key_pair(folder: Path, name: str, key: object | None = None) -> tuple[Path, Path]:
    """PEM files of a private and its public key."""
    made = key or ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        made.private_bytes(  # type: ignore[attr-defined]
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        made.public_key().public_bytes(  # type: ignore[attr-defined]
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A folder as hemix.models.versions.version writes it, with stand-ins for weights and graph."""
    return make_version(tmp_path / "v1")


def make_version(folder: Path, version: str = "v1") -> Path:
    (folder / "transform").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "transform" / "spec.json").write_text("{}")
    files = {
        name: sha256_file(folder / name) for name in ("model.safetensors", "transform/spec.json")
    }
    manifest = {
        **dict.fromkeys(("version", "created", "ranker", "recipe", "code"), version),
        **dict.fromkeys(("definition_digest", "feature_service", "transform_digest"), "x"),
        **{name: {} for name in ("config", "training_window", "metrics", "packages")},
        "spec": {
            name: [] for name in ("tasks", "vocabularies", "categorical", "numeric", "sequences")
        },
        "files": files,
    }
    write_json(folder / "manifest.json", manifest)
    return folder


@pytest.mark.slow
def test_a_signed_version_is_taken_also_under_another_name(
    version: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    sign(version, str(private))
    verify(version)
    moved = tmp_path / "mnt" / "models"
    shutil.copytree(version, moved)
    verify_signature(moved, str(public))
    verify_signature(moved, public.read_text())  # the key itself, as a secret gives it
    assert {p.name for p in moved.iterdir()} == {
        *("manifest.json", "model.safetensors", "transform", SIGNATURE)
    }


@pytest.mark.slow
def test_the_openssf_command_takes_it_too(version: Path, keys: tuple[Path, Path]) -> None:
    sign(version, str(keys[0]))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(version)]
    command += ["--signature", str(version / SIGNATURE), "--public_key", str(keys[1])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["model.safetensors", "transform/spec.json", "manifest.json"])
def test_a_changed_file_is_named_even_when_the_manifest_was_made_to_fit(
    version: Path, keys: tuple[Path, Path], name: str
) -> None:
    private, public = keys
    sign(version, str(private))
    if name == "manifest.json":
        manifest = json.loads((version / name).read_text())
        write_json(version / name, {**manifest, "version": "other"})
    else:
        (version / name).write_bytes(b"evil")
    with pytest.raises(ModelVersionError, match=name.replace(".", r"\.")) as caught:
        verify_signature(version, str(public))
    assert "not as it was signed" in str(caught.value)


def test_added_and_missing_files_are_named(version: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    sign(version, str(private))
    (version / "hook.py").write_text("evil")
    with pytest.raises(ModelVersionError, match=r"hook\.py"):
        verify_signature(version, str(public))
    (version / "hook.py").unlink()
    (version / "transform" / "spec.json").unlink()
    with pytest.raises(ModelVersionError, match=r"spec\.json"):
        verify_signature(version, str(public))


def test_unsigned_other_key_and_damaged_signatures_are_refused(
    version: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    with pytest.raises(ModelVersionError, match=r"model\.sig: the model is not signed"):
        verify_signature(version, str(public))
    other, _ = key_pair(tmp_path, "other")
    sign(version, str(other))
    with pytest.raises(ModelVersionError, match="not of the key"):
        verify_signature(version, str(public))
    sign(version, str(private))
    bundle = json.loads((version / SIGNATURE).read_text())
    signature = bundle["dsseEnvelope"]["signatures"][0]
    signature["sig"] = ("A" if signature["sig"][20] != "A" else "B").join(
        (signature["sig"][:20], signature["sig"][21:])
    )
    (version / SIGNATURE).write_text(json.dumps(bundle))
    with pytest.raises(ModelVersionError, match=r"model\.sig"):
        verify_signature(version, str(public))
    (version / SIGNATURE).write_bytes(b"\x00nonsense")
    with pytest.raises(ModelVersionError, match=r"model\.sig"):
        verify_signature(version, str(public))


def test_keys_that_cannot_be_used_are_said(version: Path, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=f"{SIGNING_KEY}: .* is not a file"):
        sign(version, str(tmp_path / "none.pem"))
    rsa_private, _ = key_pair(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    for key in (str(rsa_private), "-----BEGIN nonsense"):
        with pytest.raises(DefinitionError, match=SIGNING_KEY):
            sign(version, key)
    assert not (version / SIGNATURE).exists(), "nothing half-written"


def test_entering_a_registry_signs_and_leaves_the_artifact_alone(
    version: Path, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = keys
    monkeypatch.setenv(SIGNING_KEY, str(private))
    registry = open_registry(tmp_path / "registry")
    state = registry.add(version, share=None)
    assert not (version / SIGNATURE).exists()
    verify_signature(registry.folder("v1"), str(public))
    assert registry.add(version, share=None) == state, "adding it again changes nothing"


def test_without_a_key_nothing_is_asked(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VERIFY_KEY, raising=False)
    require_signed(version)


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_key_is_an_error_and_not_no_key(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """As from a secret that was not mounted: everything would be served, and no one would know."""
    monkeypatch.setenv(VERIFY_KEY, value)
    with pytest.raises(DefinitionError, match=f"{VERIFY_KEY} is set and empty"):
        require_signed(version)
    monkeypatch.delenv(VERIFY_KEY)
    monkeypatch.setenv(SIGNING_KEY, value)
    with pytest.raises(DefinitionError, match=f"{SIGNING_KEY} is set and empty"):
        open_registry(tmp_path / "registry").add(version, share=None)
    (tmp_path / "empty.pem").write_text(value)
    monkeypatch.setenv(VERIFY_KEY, str(tmp_path / "empty.pem"))
    with pytest.raises(DefinitionError, match=r"empty\.pem holds none"):
        require_signed(version)


def test_the_commands_sign_and_verify(version: Path, keys: tuple[Path, Path]) -> None:
    from typer.testing import CliRunner

    from hemix.cli.rank import register

    app = typer.Typer()
    register(app)
    private, public = map(str, keys)

    def hemix(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["models", *arguments])

    unsigned = hemix("verify", str(version), "--key", public)
    assert isinstance(unsigned.exception, ModelVersionError)
    assert hemix("sign", str(version), "--key", private).exit_code == 0
    assert hemix("verify", str(version), "--key", public).exit_code == 0
    keyless = hemix("verify", str(version))
    assert isinstance(keyless.exception, DefinitionError)
    assert VERIFY_KEY in str(keyless.exception)


def test_the_loader_refuses_before_it_reads_a_tensor(
    version: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in weights would fail as safetensors: the signature is looked at before them."""
    from hemix.serving.ranking.loaded_version import load_model

    monkeypatch.setenv(VERIFY_KEY, str(keys[1]))
    with pytest.raises(ModelVersionError, match=r"model\.sig: the model is not signed"):
        load_model(version)
