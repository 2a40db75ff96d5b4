"""Signed model versions: ``model.sig``, a Sigstore bundle over every file, by a key and without a network.

The format is OpenSSF Model Signing's (package ``model-signing``): an in-toto statement of all files'
SHA-256 in a DSSE envelope, so that ``model_signing verify key`` checks a version too. Whoever holds
the private key's environment signs as a version enters a registry; whoever is configured with the
public key serves nothing that it did not sign.

``HEMIX_SIGNING_KEY``: the private key (EC, PEM), a file or the PEM text itself.
``HEMIX_VERIFY_KEY``: the public key, alike.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemix.errors import DefinitionError, ModelVersionError
from hemix.files import atomic_file
from models.names import SIGNATURE

SIGNING_KEY = "HEMIX_SIGNING_KEY"
VERIFY_KEY = "HEMIX_VERIFY_KEY"

_HINT = "Serve only what was signed: deploy the version again where the signing key is."
_NAMED = re.compile(
    r"(?:'([^']+)': Expected|Extra files found in model '[^']*': ([^,'\"]+)|Missing files in model '[^']*': ([^,'\"]+))"
)


def sign(folder: Path, key: str) -> None:
    """Write ``model.sig`` into a model version folder, over all its other files.

    Args:
        key: the private key, a file or PEM text.

    Raises:
        DefinitionError: the key cannot be used.
        ModelVersionError: the folder is not what its manifest says.
    """
    from models.version import verify

    verify(folder)
    with _key_file(key, SIGNING_KEY) as path, atomic_file(folder / SIGNATURE) as signature:
        from model_signing import signing

        try:
            config = signing.Config().use_elliptic_key_signer(private_key=path)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError) as error:
            raise _unusable(SIGNING_KEY, "private", error) from error
        # The name under which the signature is being written, and its own, are no model files.
        config.set_hashing_config(_hashing(folder, signature, folder / SIGNATURE))
        config.sign(folder, signature)


def require_signed(folder: Path) -> None:
    """Check the signature when ``HEMIX_VERIFY_KEY`` is set; before anything of the model is read.

    Raises:
        ModelVersionError: not signed, signed with another key, or a file is not the signed one;
            the message names the file.
        DefinitionError: the key cannot be used.
    """
    if key := os.environ.get(VERIFY_KEY, ""):
        verify_signature(folder, key)


def verify_signature(folder: Path, key: str) -> None:
    """Check that the owner of ``key`` signed exactly these files. Arguments and errors as above."""
    signature = folder / SIGNATURE
    if not signature.is_file():
        raise ModelVersionError(f"{signature}: the model is not signed.", hint=_HINT)
    with _key_file(key, VERIFY_KEY) as path:
        from cryptography.exceptions import InvalidSignature
        from model_signing import verifying

        try:
            config = verifying.Config().use_elliptic_key_verifier(public_key=path)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError) as error:
            raise _unusable(VERIFY_KEY, "public", error) from error
        config.set_hashing_config(_hashing(folder, signature))
        try:
            config.verify(folder, signature)
        except InvalidSignature as error:
            raise ModelVersionError(
                f"{signature}: the signature is not of the key in {VERIFY_KEY}.", hint=_HINT
            ) from error
        except Exception as error:  # a damaged bundle fails in as many ways as there are bytes
            raise _refused(folder, signature, error) from error


@contextlib.contextmanager
def signed(folder: Path) -> Iterator[Path]:
    """The folder as it enters a registry: a signed copy when ``HEMIX_SIGNING_KEY`` is set.

    An artifact of a pipeline stays as it was written; a version that is signed already is taken as
    it is.
    """
    key = os.environ.get(SIGNING_KEY, "")
    if not key or (folder / SIGNATURE).is_file():
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="hemix-signed-") as temporary:
        copy = Path(temporary) / folder.name
        shutil.copytree(folder, copy)
        sign(copy, key)
        yield copy


def _hashing(folder: Path, *ignored: Path) -> Any:
    from model_signing import hashing

    paths = [path.relative_to(folder) for path in ignored]
    config = hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)  # type: ignore[no-untyped-call]
    config.add_ignored_paths(model_path=folder, paths=paths)
    return config


def _refused(folder: Path, signature: Path, error: Exception) -> ModelVersionError:
    text = str(error)
    if text.startswith("Signature mismatch") and (named := _NAMED.search(text)):
        name = next(group for group in named.groups() if group)
        return ModelVersionError(
            f"{folder / name}: the file is not as it was signed ({SIGNATURE}).", hint=_HINT
        )
    if "Key mismatch" in text:
        return ModelVersionError(
            f"{signature}: the signature is not of the key in {VERIFY_KEY}.", hint=_HINT
        )
    return ModelVersionError(f"{signature}: not a signature of this model ({text}).", hint=_HINT)


@contextlib.contextmanager
def _key_file(key: str, variable: str) -> Iterator[Path]:
    """The key as a file; PEM text goes through one that only this user can read."""
    if not key.lstrip().startswith("-----BEGIN"):
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


def _unusable(variable: str, kind: str, error: Exception) -> DefinitionError:
    return DefinitionError(
        f"{variable}: not a {kind} key that can be used ({error}).",
        hint="Give an EC key on P-256, P-384 or P-521 as PEM without a password: "
        "openssl ecparam -name prime256v1 -genkey -noout.",
    )
