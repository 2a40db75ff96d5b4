"""``hemix models sign`` and ``hemix models verify``: a model version's signature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hemix.errors import DefinitionError
from hemix.progress import say
from hemix.serving.registry.signing import sign, verify_signature
from hemix.serving.registry.signing_keys import SIGNING_KEY, VERIFY_KEY, key_set

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Model version folder.")]


def sign_command(
    folder: FolderArgument,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"Private key, EC as PEM. [dim]Default: {SIGNING_KEY}[/dim]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Sign a model version: write model.sig over all its files.

    Versions that enter a registry are signed by themselves where HEMIX_SIGNING_KEY is set.

    [bold]Example[/bold]

      openssl ecparam -name prime256v1 -genkey -noout -out hemix.pem

      openssl ec -in hemix.pem -pubout -out hemix.pub

      hemix models sign runs/kuairand/registry/versions/VERSION --key hemix.pem
    """
    sign(folder, _key(key, SIGNING_KEY))
    say(f"models: signed {folder}")


def verify_command(
    folder: FolderArgument,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Public keys, EC as PEM: a file, a folder of them, or several, separated as in "
            f"PATH. One of them must have signed. [dim]Default: {VERIFY_KEY}[/dim]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check that a model version is whole, and signed by the owner of a key, or of one of several.

    [bold]Example[/bold]

      hemix models verify runs/kuairand/registry/versions/VERSION --key hemix.pub
    """
    from hemix.models.versions.version import verify

    verify_signature(folder, _key(key, VERIFY_KEY))
    verify(folder)
    say(f"models: {folder} is signed and whole")


def register(models_app: typer.Typer) -> None:
    """Add the commands of this file to ``hemix models``."""
    models_app.command("sign")(sign_command)
    models_app.command("verify")(verify_command)


def _key(key: str | None, variable: str) -> str:
    found = key or key_set(variable)
    if not found:
        raise DefinitionError(f"No key was given: pass --key FILE, or set {variable}.")
    return found
