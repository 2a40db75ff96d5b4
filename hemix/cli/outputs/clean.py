"""``hemix clean``: make an output small."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hemix.texts.shown import shown

MB = 1_000_000


def clean_command(
    output: Annotated[
        str, typer.Argument(metavar="DIR", help="An output folder of hemix run.")
    ] = "runs/kuairand",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
) -> None:
    """Remove from an output what the next run would make again.

    That is, of runs that succeeded, their examples, transformed data and checkpoints, and artifacts
    that no run speaks of any more. The registry, the live features, exposures, reports, models,
    events and evaluations stay, and so does all that a run which did not succeed would go on from.
    A new run in a cleaned output works those steps, and the ones after them, anew.

    [bold]Example[/bold]

      hemix clean runs/kuairand --dry-run
    """
    from hemix.pipelines.local.clean import clean
    from hemix.pipelines.local.folder import RunFolder

    folder = RunFolder.at(output)
    before = _size(folder.root)
    found = clean(folder, dry_run=dry_run)
    for removal in found:
        where = shown(removal.path.relative_to(folder.root))
        typer.echo(f"{removal.size / MB:9.1f} MB  {where}  ({removal.why})")
    freed = sum(removal.size for removal in found)
    told = "would be removed" if dry_run else "removed"
    typer.echo(f"{freed / MB:.1f} MB {told}; {(before - freed) / MB:.1f} MB stay.")


def _size(root: Path) -> int:
    return sum(p.lstat().st_size for p in root.rglob("*") if p.is_file() and not p.is_symlink())
