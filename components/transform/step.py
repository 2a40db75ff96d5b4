"""Step 4, transform: ids and numbers ready for tensors, and the graph that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hemix.features.beam.staging import staged
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.features.transform.apply import apply_splits
from hemix.features.transform.fit import fit
from hemix.features.transform.statistics import statistics_of_files
from hemix.files import read_json
from hemix.progress import say
from hemix.spec import FeatureSpec


def run(
    *,
    definition: DatasetDefinition,
    examples: Path,
    out_transformed: Path,
    out_transform: Path,
    runner_options: Sequence[str] = (),
) -> None:
    """Fit the transform on the training split and write transformed/ and transform/.

    Args:
        definition: the data set definition.
        examples: the examples artifact.
        out_transformed: folder of the transformed splits.
        out_transform: folder of the transform artifact.
        runner_options: Beam flags, or a runner configuration.

    Raises:
        DataError: a split is empty or a column is missing; the message names it.
    """
    types = ColumnTypes.from_json(read_json(examples / "types.json"))
    outputs = {"transform": out_transform, "transformed": out_transformed}
    with staged(runner_options, inputs={"examples": examples}, outputs=outputs) as place:
        fit(
            definition=definition,
            types=types,
            examples=place["examples"],
            out_transform=place["transform"],
            runner_options=runner_options,
        )
        apply_splits(
            definition=definition,
            transform=place["transform"],
            examples=place["examples"],
            out_transformed=place["transformed"],
            runner_options=runner_options,
        )
    spec = FeatureSpec.read(out_transform / "spec.json")
    statistics = statistics_of_files(spec, out_transformed / "train")
    statistics.write(out_transform / "statistics.json")
    say(f"transform: {statistics.rows} training rows, {len(statistics.features)} features")
