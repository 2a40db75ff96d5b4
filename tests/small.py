"""A small slice of the shipped log, and the artifacts that the real steps make of it.

Each artifact is computed once for a whole test session, also across worker processes: the first
test that asks runs the step under a lock, the others find the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from filelock import FileLock

from hemix.features.definition import EXAMPLES, DatasetDefinition

USERS = 400


def write_slice(folder: Path, users: int = USERS) -> None:
    """Copy the rows of the ``users`` most active users of the KuaiRand log into ``folder``."""
    source = EXAMPLES / "kuairand" / "data"
    interactions = pq.read_table(source / "interactions.parquet")
    counts = interactions["user_id"].value_counts().to_pylist()
    counts.sort(key=lambda row: (-row["counts"], row["values"]))
    keep = pa.array([row["values"] for row in counts[:users]])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("interactions", "prior_behaviors", "users"):
        table = pq.read_table(source / f"{name}.parquet")
        pq.write_table(table.filter(pc.is_in(table["user_id"], keep)), folder / f"{name}.parquet")
    pq.write_table(pq.read_table(source / "items.parquet"), folder / "items.parquet")


def write_narrow(folder: Path) -> Path:
    """The slice in ``folder/data`` and a definition of it with a few features of every kind.

    Steps spend their time on features more than on rows: this is for tests of a job as a whole.
    """
    write_slice(folder / "data")
    narrow = yaml.safe_load((EXAMPLES / "kuairand" / "definition.yaml").read_text())
    kept = {"user_id", "item_id", "author_id", "tag", "tab", "upload_time"}
    kept |= {"user_active_degree", "register_days", "video_duration"}
    for side in ("users", "items"):
        columns = narrow[side][0]["columns"]
        narrow[side][0]["columns"] = {n: c for n, c in columns.items() if n in kept}
    for kind in ("categorical", "numeric"):
        narrow[kind] = [one for one in narrow[kind] if one["name"] in kept]
    narrow["sequences"] |= {"columns": ["tag"], "global_length": 10, "realtime_length": 5}
    narrow["counters"] = [{"key": "user_id", "events": ["click"], "windows": ["1d"]}]
    narrow["split"] = {
        "train": {"start": narrow["split"]["train"]["start"], "end": "2022-04-29"},
        "test": {"start": "2022-04-29", "end": "2022-05-01"},
    }
    path = folder / "definition.yaml"
    path.write_text(yaml.safe_dump(narrow))
    return path


@dataclass(frozen=True)
class SmallRun:
    """Artifacts of one small run under ``root``; each is made when first asked for."""

    root: Path

    def _once(self, name: str, make: Callable[[Path], object]) -> Path:
        path = self.root / name
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f"{name}.lock"):
            if not path.exists():
                make(path)
        return path

    @property
    def definition(self) -> DatasetDefinition:
        """The KuaiRand definition over the slice; train 25-28 April, test 29-30 April."""
        data = self._once("data", write_slice)
        return DatasetDefinition.load(
            "kuairand",
            {
                "root": str(data),
                "split.train.end": "2022-04-29",
                "split.test.start": "2022-04-29",
                "split.test.end": "2022-05-01",
            },
        )

    @property
    def events(self) -> Path:
        from hemix.components.ingest import step

        return self._once(
            "events", lambda out: step.run(definition=self.definition, out_events=out)
        )

    @property
    def examples(self) -> Path:
        from hemix.components.build_examples import step

        return self._once(
            "examples",
            lambda out: step.run(definition=self.definition, events=self.events, out_examples=out),
        )

    @property
    def transformed(self) -> Path:
        from hemix.components.transform import step

        return self._once(
            "transformed",
            lambda out: step.run(
                definition=self.definition,
                examples=self.examples,
                out_transformed=out,
                out_transform=self.root / "transform",
            ),
        )

    @property
    def transform(self) -> Path:
        return self.transformed.parent / "transform"

    def model_named(self, recipe: str) -> Path:
        """A model version folder trained by ``recipe`` on the slice."""
        from hemix.components.train import step

        return self._once(
            f"model-{recipe}",
            lambda out: step.run(
                transformed=self.transformed,
                transform=self.transform,
                recipe=recipe,
                overrides={},
                version=f"small-{recipe}",
                feature_service=f"ranker_small_{recipe}",
                checkpoints=self.root / f"checkpoints-{recipe}",
                out_model=out,
                out_curves=self.root / f"curves-{recipe}",
            ),
        )

    @property
    def model(self) -> Path:
        return self.model_named("tiny")

    @property
    def evaluation(self) -> Path:
        from hemix.components.evaluate import step

        return self._once(
            "evaluation",
            lambda out: step.run(
                definition=self.definition,
                model=self.model,
                events=self.events,
                examples=self.examples,
                transformed=self.transformed,
                champion=None,
                out_evaluation=out,
            ),
        )

    @property
    def repository(self) -> Path:
        from hemix.components.register_features import step

        return self._once(
            "repository",
            lambda out: step.run(
                definition=self.definition,
                events=self.events,
                transform=self.transform,
                version="small-tiny",
                out_repository=out,
                out_verdict=self.root / "parity-verdict.json",
            ),
        )
