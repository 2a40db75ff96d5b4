"""Several keys at once: a change of keys in which no good version is ever refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hemix.errors import DefinitionError, ModelVersionError
from hemix.models.versions.files import SIGNATURE
from hemix.serving.registry.opening import open_registry
from hemix.serving.registry.signing import require_signed, sign, signing_told
from hemix.serving.registry.signing_keys import SIGNING_KEY, VERIFY_KEY, fits, public_keys
from tests.serving.registry.test_signing import key_pair, make_version

Pair = tuple[Path, Path]
Given = Callable[[list[Path], Path], str]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """The private and the public key of ``old``, ``new`` and of a stranger."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: key_pair(folder, name) for name in ("old", "new", "stranger")}


@pytest.fixture
def versions(tmp_path: Path, pairs: dict[str, Pair]) -> dict[str, Path]:
    """A version signed by each key."""
    made = {name: make_version(tmp_path / name) for name in pairs}
    for name, (private, _) in pairs.items():
        sign(made[name], str(private))
    return made


def as_list(files: list[Path], _: Path) -> str:
    return os.pathsep.join(map(str, files))


def as_text(files: list[Path], _: Path) -> str:
    """What a Secret's value is when its file holds several keys."""
    return "\n# the next one\n".join(file.read_text() for file in files)


def as_one_file(files: list[Path], scratch: Path) -> str:
    (scratch / "public.pem").write_text("".join(file.read_text() for file in files))
    return str(scratch / "public.pem")


def as_folder(files: list[Path], scratch: Path) -> str:
    folder = scratch / "keys"
    folder.mkdir()
    for file in files:
        (folder / file.name).write_text(file.read_text())
    (folder / "README").write_text("not a key")
    return str(folder)


def as_mounted_secret(files: list[Path], scratch: Path) -> str:
    """As kubelet lays a Secret out: links to a hidden folder."""
    folder = scratch / "mounted"
    (folder / "..data").mkdir(parents=True)
    for file in files:
        (folder / "..data" / file.name).write_text(file.read_text())
        (folder / file.name).symlink_to(Path("..data") / file.name)
    return str(folder)


@pytest.mark.parametrize("given", [as_list, as_text, as_one_file, as_folder, as_mounted_secret])
@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        (["old"], {"old"}),
        (["new"], {"new"}),
        (["old", "new"], {"old", "new"}),
        (["stranger"], {"stranger"}),
    ],
    ids=["old", "new", "both", "unknown"],
)
def test_a_version_is_taken_when_one_of_the_keys_signed_it(
    keys: list[str],
    taken: set[str],
    given: Given,
    pairs: dict[str, Pair],
    versions: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VERIFY_KEY, given([pairs[name][1] for name in keys], tmp_path))
    which = "not of the key" if len(keys) == 1 else "of none of the 2 keys"
    for name, version in versions.items():
        if name in taken:
            require_signed(version)
        else:
            with pytest.raises(ModelVersionError, match=f"the signature is {which}"):
                require_signed(version)


def test_a_change_of_keys_refuses_no_live_version_at_any_step(
    pairs: dict[str, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of docs/operator/monitoring.md, over a registry."""
    registry = open_registry(tmp_path / "registry")
    folder = tmp_path / "keys"
    folder.mkdir()
    monkeypatch.setenv(VERIFY_KEY, str(folder))

    def publish(name: str) -> None:
        (folder / f"{name}.pub").write_text(pairs[name][1].read_text())

    def add(version: str, key: str) -> None:
        monkeypatch.setenv(SIGNING_KEY, str(pairs[key][0]))
        made = make_version(tmp_path / version, version)
        assert "is signed as it enters" in signing_told(made, demanded=True)
        registry.add(made, share=0.1)

    def serve(*live: str) -> None:
        for version in live:
            require_signed(registry.folder(version))

    publish("old")
    add("v1", "old")
    serve("v1")
    with pytest.raises(DefinitionError, match="would be refused"):
        add("v2", "new")  # the new key signs before those that verify know it
    publish("new")
    serve("v1")
    add("v3", "new")
    serve("v1", "v3")
    registry.promote("v3")
    (folder / "old.pub").unlink()
    serve("v3")
    with pytest.raises(ModelVersionError, match="not of the key"):
        serve("v1")


def test_a_changed_file_is_named_whichever_key_signed(
    pairs: dict[str, Pair], versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = os.pathsep.join(str(public) for _, public in pairs.values())
    monkeypatch.setenv(VERIFY_KEY, both)
    for version in versions.values():
        (version / "model.safetensors").write_bytes(b"evil")
        with pytest.raises(ModelVersionError, match=r"model\.safetensors.*not as it was signed"):
            require_signed(version)


def test_keys_that_cannot_be_used_are_said_with_their_place(
    pairs: dict[str, Pair], tmp_path: Path
) -> None:
    private, public = pairs["old"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.pem").write_text("nothing")
    (tmp_path / "bytes.pem").write_bytes(b"\xff\xfe\x00")
    for value, told in (
        (f"{public}{os.pathsep}{private}", r"old\.pem holds a private key"),
        (f"{public}{os.pathsep}{tmp_path / 'absent.pem'}", r"absent\.pem is not a file"),
        (str(tmp_path / "empty"), "empty holds no key"),
        (str(tmp_path / "notes.pem"), r"notes\.pem holds none"),
        (str(tmp_path / "bytes.pem"), r"bytes\.pem cannot be read as text"),
        ("-----BEGIN nonsense", "the text holds none"),
        (os.pathsep, "is not a file"),
        ("x" * 5_000, "is not a file"),
    ):
        with pytest.raises(DefinitionError, match=told) as caught:
            public_keys(value)
        assert VERIFY_KEY in str(caught.value)
        assert caught.value.hint


def test_each_key_counts_once(pairs: dict[str, Pair], tmp_path: Path) -> None:
    both = [pairs["old"][1], pairs["new"][1]]
    keys = public_keys(as_list([*both, Path(as_folder(both, tmp_path))], tmp_path))
    assert [Path(key.source).name for key in keys] == ["old.pub", "new.pub"]


def test_a_private_key_fits_its_public_one_only(pairs: dict[str, Pair]) -> None:
    private, public = pairs["old"]
    both = public.read_text() + pairs["new"][1].read_text()
    assert fits(str(private), str(public))
    assert fits(private.read_text(), both)
    assert not fits(str(pairs["stranger"][0]), both)


@pytest.mark.parametrize(
    ("signing", "verifying", "demanded", "told"),
    [
        ("", "", False, "is not signed"),
        ("", "old", False, f"is NOT signed: {SIGNING_KEY} is not set here, only {VERIFY_KEY}"),
        ("old", "", True, "is signed as it enters"),
        ("old", "old", True, "is signed as it enters"),
    ],
)
def test_what_becomes_of_the_signature_is_said(
    signing: str,
    verifying: str,
    demanded: bool,
    told: str,
    pairs: dict[str, Pair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SIGNING_KEY, raising=False)
    monkeypatch.delenv(VERIFY_KEY, raising=False)
    if signing:
        monkeypatch.setenv(SIGNING_KEY, str(pairs[signing][0]))
    if verifying:
        monkeypatch.setenv(VERIFY_KEY, str(pairs[verifying][1]))
    assert told in signing_told(make_version(tmp_path / "v1"), demanded=demanded)


def test_what_is_demanded_and_cannot_be_signed_is_refused(
    pairs: dict[str, Pair],
    versions: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SIGNING_KEY, raising=False)
    monkeypatch.setenv(VERIFY_KEY, str(pairs["old"][1]))
    with pytest.raises(DefinitionError, match=rf"secrets\.signing is set.*{SIGNING_KEY} is not"):
        signing_told(make_version(tmp_path / "v1"), demanded=True)
    assert signing_told(versions["old"], demanded=True) == "is signed already"
    with pytest.raises(ModelVersionError, match="not of the key"):
        signing_told(versions["stranger"], demanded=True)
    assert (versions["old"] / SIGNATURE).is_file()
