"""Random numbers of a batch: the same for its parts as for the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hemix.models.data.batch import Batch
from hemix.models.data.reader import ParquetReader
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.layers import batch_rng
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from tests.models.files import write_split

ROWS = 16
PARTS = (slice(0, 4), slice(4, 8), slice(8, ROWS))
RANDOM = {
    "model.dropout": "0.3",
    "model.embedding.dropout": "0.3",
    "model.embedding.id_dropout": "0.3",
    "model.embedding.large": "10",
}


@pytest.mark.parametrize("recipe", ["compact", "tiny", "din", "dcnv2"])
def test_parts_of_a_batch_drop_what_the_whole_drops(recipe: str) -> None:
    chosen = recipe_of(recipe, RANDOM)
    ranker = build(chosen.ranker, toy_spec(), chosen.model).train().double()
    batch = toy_batch(rows=ROWS, seed=3)

    def logits(part: Batch) -> torch.Tensor:
        torch.manual_seed(0)
        return torch.stack(list(ranker(part).values()))

    whole = logits(batch)
    parts = []
    for rows in PARTS:
        with batch_rng.batch_rows(local=rows, global_size=ROWS):
            parts.append(logits(batch.part(torch.arange(ROWS), rows)))
    # Only the kernels' rounding may depend on how many rows they get: of float64, here.
    assert whole.dtype == torch.float64
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)
    assert not torch.equal(logits(batch.take(torch.arange(4, 8))), whole[:, 4:8])


def test_evaluation_draws_nothing() -> None:
    before = torch.get_rng_state()
    layer = batch_rng.Dropout(0.5)
    with batch_rng.batch_rows(local=slice(0, 2), global_size=4):
        assert torch.equal(layer.eval()(torch.ones(2)), torch.ones(2))
        assert torch.equal(batch_rng.Dropout(0.0)(torch.ones(2)), torch.ones(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rows", [101, 97])
def test_readers_share_every_batch(tmp_path: Path, rows: int) -> None:
    write_split(tmp_path, rows=rows, files=3, group=7)

    def read(share: tuple[int, int], start: int = 0) -> list[Batch]:
        reader = ParquetReader(
            toy_spec(), [tmp_path], batch_size=12, seed=1, shuffle_rows=20, share=share
        )
        return list(reader.epoch(1, start))

    whole = read((0, 1))
    for start in (0, 3):
        parts = [read((k, 3), start) for k in range(3)]
        for number, batch in enumerate(whole[start:]):
            three = [part[number] for part in parts]
            if batch.size == 12:
                assert [part.size for part in three] == [4, 4, 4]
            joined = Batch.concat(three)
            assert torch.equal(joined.numbers["age"], batch.numbers["age"])
            for name, events in batch.lists.items():
                assert torch.equal(joined.lists[name].values, events.values)
                widths = {part.lists[name].padded()[0].shape[-1] for part in three}
                assert widths == {events.padded()[0].shape[-1]}
