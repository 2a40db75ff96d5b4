"""``hemix clean``: make an output small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemix import storage
from hemix.cli import options as o
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.texts.shown import shown

if TYPE_CHECKING:
    from hemix.pipelines.kfp_client.connection import Connection
    from hemix.pipelines.retention import Retention

MB = 1_000_000


def clean_command(
    output: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="An output folder of hemix run, or s3://BUCKET/PREFIX: a cluster's root.",
        ),
    ] = "runs/kuairand",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Retention policy, for a cluster's root; see docs/operator/cleaning.md.",
            show_default=False,
        ),
    ] = None,
    host: o.HostOption = "",
    namespace: o.NamespaceOption = "",
    token: o.TokenOption = "",
    token_file: o.TokenFileOption = None,
    ca_cert: o.CaCertOption = None,
) -> None:
    """Remove what the next run would make again.

    From an output folder: examples, transformed data and checkpoints of runs that succeeded, and
    artifacts that no run names any more. Registry, live features, exposures, reports, models, events
    and evaluations stay, and so does all that a failed run would go on from. The next run there makes
    what was removed anew.

    From a cluster's root (s3://): what the retention policy (--policy) lets go.

    [bold]Example[/bold]

      hemix clean runs/kuairand --dry-run

      hemix clean s3://ranker/hemix --dry-run --host https://kubeflow.example.com/pipeline
    """
    from hemix.pipelines.retention import Retention

    retention = Retention.load(policy)  # a mistake in it is told before storage is asked
    if storage.is_remote(output) and not storage.read_bytes(storage.join(output, "run.json")):
        clean_root(
            output,
            dry_run,
            retention,
            lambda: o.connect(host, namespace, token, token_file, ca_cert),
        )
        return
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


def clean_root(
    root: str, dry_run: bool, retention: Retention, connect: Callable[[], Connection]
) -> None:
    """A cluster's root: as the pipeline ``cleaning`` does, but for TrainJobs."""
    from hemix.pipelines.cleaning.clean import Places, clean
    from hemix.pipelines.cleaning.step import tell
    from hemix.pipelines.kfp_client.compiled import PIPELINE_ROOT
    from hemix.serving.registry.opening import find_registry

    artifacts = storage.join(root, PIPELINE_ROOT)
    where = Places(
        registry=find_registry(storage.join(root, "registry")).location,
        checkpoints=storage.join(root, "checkpoints"),
        exposures=storage.join(root, "exposures"),
        feature_store=storage.join(root, "feature_store"),
        pipeline_root=artifacts if storage.list_files(artifacts) else "",
    )
    api = PipelinesApi(connect()) if where.pipeline_root else None
    cleaned = clean(where, retention, api=api, cluster=None, dry_run=dry_run)
    tell(cleaned, dry_run=dry_run)
    cleaned.require_all()


def _size(root: Path) -> int:
    return sum(p.lstat().st_size for p in root.rglob("*") if p.is_file() and not p.is_symlink())
