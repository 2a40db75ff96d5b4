"""The step that cleans: the policy is read, things go, and what went is told."""

from __future__ import annotations

from pathlib import Path

from hemix.files import write_json
from hemix.pipelines.cleaning.clean import Cleaned, Places, clean
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.retention import Retention
from hemix.progress import say
from hemix.serving.kubernetes.api import Cluster

MB = 1_000_000


def run(
    where: Places,
    *,
    policy: str,
    dry_run: bool,
    api: PipelinesApi | None,
    cluster: Cluster | None,
    out_cleaned: Path,
) -> None:
    """Clean, and say what went.

    Args:
        where: locations.
        policy: text of the retention policy; empty for the default.
        dry_run: say what would go.
        api: the pipelines' server.
        cluster: where TrainJobs are.
        out_cleaned: JSON: what went, what waits, what resisted.

    Raises:
        StorageError: something that should go is still there.
        HemixError: something could not be listed; nothing was removed then.
    """
    cleaned = clean(where, Retention.parse(policy), api=api, cluster=cluster, dry_run=dry_run)
    write_json(
        out_cleaned,
        {
            "dry_run": dry_run,
            "removed": [vars(removal) for removal in cleaned.removed],
            "waiting": list(cleaned.waiting),
            "stubborn": list(cleaned.stubborn),
        },
    )
    tell(cleaned, dry_run=dry_run)
    cleaned.require_all()


def tell(cleaned: Cleaned, *, dry_run: bool) -> None:
    """One line a thing, and the sum."""
    for one in cleaned.removed:
        say(f"{one.size / MB:10.1f} MB  {one.kind} {one.name}: {one.why}")
    for line in cleaned.waiting:
        say(f"stays for now: {line}")
    told = "would be removed" if dry_run else "removed"
    say(f"clean: {cleaned.freed / MB:.1f} MB {told}, {len(cleaned.removed)} things")
