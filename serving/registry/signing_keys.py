"""Keys for signing and verifying: PEM text, a file, a folder of files, or several of these.

Several public keys may be valid at the same time, so that a new key replaces an old one without a
moment in which a good version is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemix.errors import DefinitionError

SIGNING_KEY = "HEMIX_SIGNING_KEY"
VERIFY_KEY = "HEMIX_VERIFY_KEY"

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_BEGIN = "-----BEGIN"
_SUFFIXES = (".pem", ".pub")


@dataclass(frozen=True)
class PublicKey:
    """One key that signatures may be of: PEM text, and where it is from."""

    text: str = field(repr=False)
    source: str


def key_set(variable: str) -> str:
    """The key in the environment; empty when the variable is not set at all.

    Raises:
        DefinitionError: it is set and empty, as by a secret that could not be read: nothing would be
            signed or verified, and no one would know.
    """
    value = os.environ.get(variable)
    if value is not None and not value.strip():
        raise DefinitionError(
            f"{variable} is set and empty.",
            hint=f"Give a key, or unset it (unset {variable}) when versions are not to be "
            f"{'verified' if variable == VERIFY_KEY else 'signed'}.",
        )
    return value or ""


def public_keys(value: str) -> tuple[PublicKey, ...]:
    """All keys of ``value``, each once, in order.

    Args:
        value: PEM text with one or more keys; or files of that, and folders of such files (``.pem``,
            ``.pub``), separated as in PATH.

    Raises:
        DefinitionError: a place is not there or holds no key, or holds a private one; names it.
    """
    found: dict[str, PublicKey] = {}
    for source, text in _texts(value):
        blocks = list(_BLOCK.finditer(text))
        if any("PRIVATE" in block[1] for block in blocks):
            raise DefinitionError(
                f"{VERIFY_KEY}: {source} holds a private key.",
                hint="Whoever only verifies must not have it: give the public one "
                "(openssl ec -in private.pem -pubout).",
            )
        public = [block[0] for block in blocks if block[1] == "PUBLIC KEY"]
        if not public:
            raise unusable(VERIFY_KEY, "public", f"{source} holds none")
        for block in public:
            found.setdefault(block, PublicKey(block, source))
    return tuple(found.values())


def fits(private: str, public: str) -> bool:
    """Whether the private key ``private`` is that of one of the keys of ``public``.

    Raises:
        DefinitionError: a key cannot be used.
    """
    from cryptography.hazmat.primitives import serialization

    with key_file(private, SIGNING_KEY) as path:
        try:
            own = serialization.load_pem_private_key(path.read_bytes(), None).public_key()
        except (ValueError, TypeError) as error:
            raise unusable(SIGNING_KEY, "private", error) from error

    def plain(key: Any) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        told: bytes = key.public_bytes(serialization.Encoding.DER, form)
        return told

    for key in public_keys(public):
        try:
            known = serialization.load_pem_public_key(key.text.encode())
        except ValueError as error:
            raise unusable(VERIFY_KEY, "public", f"{key.source}: {error}") from error
        if plain(known) == plain(own):
            return True
    return False


@contextlib.contextmanager
def key_file(key: str, variable: str) -> Iterator[Path]:
    """The key as a file; PEM text goes through one that only this user can read.

    Raises:
        DefinitionError: it is no PEM text and no file.
    """
    if not key.lstrip().startswith(_BEGIN):
        if not Path(key).is_file():
            raise DefinitionError(
                f"{variable}: {key} is not a file.", hint="Give a PEM file, or its text."
            )
        yield Path(key)
        return
    with tempfile.TemporaryDirectory(prefix="hemix-key-") as folder:
        path = Path(folder) / "key.pem"
        path.touch(mode=0o600)
        path.write_text(key)
        yield path


def unusable(variable: str, kind: str, error: object) -> DefinitionError:
    """The error of a key that cannot be used."""
    return DefinitionError(
        f"{variable}: not a {kind} key that can be used ({error}).",
        hint="Give an EC key on P-256, P-384 or P-521 as PEM without a password: "
        "openssl ecparam -name prime256v1 -genkey -noout.",
    )


def _texts(value: str) -> Iterator[tuple[str, str]]:
    """Where each text is from, and the text."""
    if value.lstrip().startswith(_BEGIN):
        yield "the text", value
        return
    places = [value] if os.path.exists(value) else [p for p in value.split(os.pathsep) if p]
    for place in places or [value]:
        files = [Path(place)]
        if os.path.isdir(place):
            files = sorted(f for f in Path(place).iterdir() if f.suffix in _SUFFIXES)
            if not files:
                raise DefinitionError(
                    f"{VERIFY_KEY}: {place} holds no key.",
                    hint=f"A folder of keys holds files named *{' or *'.join(_SUFFIXES)}.",
                )
        for file in files:
            try:
                yield str(file), file.read_text()
            except (OSError, UnicodeDecodeError) as error:
                what = "cannot be read as text" if os.path.isfile(file) else "is not a file"
                raise DefinitionError(
                    f"{VERIFY_KEY}: {file} {what}.",
                    hint="Give PEM files, folders of them, or the text of the keys.",
                ) from error
