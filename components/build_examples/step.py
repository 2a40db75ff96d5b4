"""Build one example an interaction from what was known before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hemix.features.beam.staging import staged
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.build import build
from hemix.progress import say


def run(
    *,
    definition: DatasetDefinition,
    events: Path,
    out_examples: Path,
    runner_options: Sequence[str] = (),
) -> None:
    """Write point-in-time sequences and counters of every interaction (docs/architecture.md).

    Args:
        definition: says which sequences, counters and attributes an example has.
        events: the folder that ingest wrote.
        out_examples: the folder to write.
        runner_options: Beam flags, such as ``--direct_running_mode=multi_processing``.

    Raises:
        DataError: no interactions, or a damaged file.
    """
    inputs, outputs = {"events": events}, {"examples": out_examples}
    with staged(runner_options, inputs=inputs, outputs=outputs) as place:
        summary = build(
            definition, place["events"], place["examples"], runner_options=runner_options
        )
    say(f"examples: {summary['rows']} rows")
