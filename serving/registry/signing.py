"""Signed model versions: ``model.sig``, a Sigstore bundle over every file, by a key and without a network.

The format is OpenSSF Model Signing's (package ``model-signing``): an in-toto statement of all files'
SHA-256 in a DSSE envelope, so that ``model_signing verify key`` checks a version too. Whoever holds
the private key's environment signs as a version enters a registry; whoever is configured with the
public key serves nothing that it did not sign.

``HEMIX_SIGNING_KEY``: the private key (EC, PEM), a file or the PEM text itself.
``HEMIX_VERIFY_KEY``: the public key or keys, alike; also a folder, or several places
(:func:`hemix.serving.registry.signing_keys.public_keys`). A signature of any of them is taken.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemix.errors import DefinitionError, ModelVersionError
from hemix.files import atomic_file
from hemix.models.versions.files import SIGNATURE
from hemix.serving.registry.signing_keys import (
    SIGNING_KEY,
    VERIFY_KEY,
    PublicKey,
    fits,
    key_file,
    key_set,
    public_keys,
    unusable,
)

_HINT = "Serve only what was signed: deploy the version again where the signing key is."
_NAMED = re.compile(
    r"(?:'([^']+)': Expected|Extra files found in model '[^']*': ([^,'\"]+)|Missing files in model '[^']*': ([^,'\"]+))"
)


def sign(folder: Path, key: str) -> None:
    """Write ``model.sig`` into a model version folder, over all its other files.

    Args:
        folder: model version folder.
        key: the private key, a file or PEM text.

    Raises:
        DefinitionError: the key cannot be used.
        ModelVersionError: the folder is not what its manifest says.
    """
    from hemix.models.versions.version import verify

    verify(folder)
    with key_file(key, SIGNING_KEY) as path, atomic_file(folder / SIGNATURE) as signature:
        from model_signing import signing

        try:
            config = signing.Config().use_elliptic_key_signer(private_key=path)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError) as error:
            raise unusable(SIGNING_KEY, "private", error) from error
        # The name under which the signature is being written, and its own, are no model files.
        config.set_hashing_config(_hashing(folder, signature, folder / SIGNATURE))
        config.sign(folder, signature)


def require_signed(folder: Path) -> None:
    """Check the signature when ``HEMIX_VERIFY_KEY`` is set; before anything of the model is read.

    Raises:
        ModelVersionError: not signed, signed with another key, or a file is not the signed one;
            the message names the file.
        DefinitionError: the key cannot be used, or is set and empty.
    """
    if key := key_set(VERIFY_KEY):
        verify_signature(folder, key)


def verify_signature(folder: Path, key: str) -> None:
    """Check that the owner of ``key``, or of one of several, signed exactly these files.

    Arguments and errors as above.
    """
    signature = folder / SIGNATURE
    keys = public_keys(key)
    if not signature.is_file():
        raise ModelVersionError(f"{signature}: the model is not signed.", hint=_HINT)
    # Of another key is known before any file is read; so each further key costs next to nothing.
    if not any(_is_of(folder, signature, one) for one in keys):
        which = f"of none of the {len(keys)} keys" if len(keys) > 1 else "not of the key"
        raise ModelVersionError(
            f"{signature}: the signature is {which} in {VERIFY_KEY}.", hint=_HINT
        )


def _is_of(folder: Path, signature: Path, key: PublicKey) -> bool:
    """Whether the signature is of ``key``; when it is, that the files are the signed ones."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    with key_file(key.text, VERIFY_KEY) as path:
        try:
            config = verifying.Config().use_elliptic_key_verifier(public_key=path)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError) as error:
            raise unusable(VERIFY_KEY, "public", f"{key.source}: {error}") from error
        config.set_hashing_config(_hashing(folder, signature))
        try:
            config.verify(folder, signature)
        except InvalidSignature:
            return False
        except Exception as error:  # a damaged bundle fails in as many ways as there are bytes
            if "Key mismatch" in str(error):
                return False
            raise _refused(folder, signature, error) from error
    return True


def signing_told(folder: Path, *, demanded: bool) -> str:
    """What becomes of a version's signature as it enters a registry from here: one sentence.

    Args:
        folder: model version folder.
        demanded: what serves it takes signed versions only.

    Raises:
        DefinitionError: a signature is demanded and there is no key to make it; or what would be
            signed is of no key in ``HEMIX_VERIFY_KEY``, and so would be refused.
        ModelVersionError: it is signed already, and not by such a key.
    """
    private, public = key_set(SIGNING_KEY), key_set(VERIFY_KEY)
    if (folder / SIGNATURE).is_file():
        if public:
            verify_signature(folder, public)
        return "is signed already"
    if private:
        if public and not fits(private, public):
            raise DefinitionError(
                f"{SIGNING_KEY} is of no key in {VERIFY_KEY}: what it signs would be refused.",
                hint="Add its public key to those that verify, first there and then here.",
            )
        return "is signed as it enters the registry"
    if demanded:
        raise DefinitionError(
            f"secrets.signing is set, so that pods take signed versions only, and {SIGNING_KEY} is "
            "not set here: they would refuse this one.",
            hint="Add private.pem to the Secret of the deploy step, sign the version beforehand "
            "(hemix models sign), or leave secrets.signing empty.",
        )
    if public:
        return (
            f"is NOT signed: {SIGNING_KEY} is not set here, only {VERIFY_KEY}. "
            "An endpoint with that key will refuse it"
        )
    return f"is not signed: {SIGNING_KEY} is not set"


@contextlib.contextmanager
def signed(folder: Path) -> Iterator[Path]:
    """The folder as it enters a registry: a signed copy when ``HEMIX_SIGNING_KEY`` is set.

    An artifact of a pipeline stays as it was written; a version that is signed already is taken as
    it is.
    """
    key = key_set(SIGNING_KEY)
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
    return ModelVersionError(f"{signature}: not a signature of this model ({text}).", hint=_HINT)
