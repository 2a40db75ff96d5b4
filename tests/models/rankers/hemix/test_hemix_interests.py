"""Recent queries of one sequence alone, and DIN's interest of many candidates in bounded memory."""

from __future__ import annotations

import pytest
import torch

from hemix.models.data.toy import toy_batch
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.layers.attention.events import Events
from hemix.models.rankers.hemix import variants as hemix_variants
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.variants import DINInterest
from tests.models.rankers.hemix.test_hemix import make

D, S = 8, 12


@pytest.mark.parametrize("name", ["global", "realtime"])
def test_recent_queries_may_be_those_of_one_sequence(name: str) -> None:
    model = make(interest="recent", **{f"fixed_{name}": 0})
    assert model.tokens(toy_batch(rows=3)).shape == (3, 10, D)
    assert sum("recent" in key for key in model.state_dict()) == 1


@pytest.mark.parametrize("lengths", [(3, 0, 1), (0, 0, 0)])
def test_the_latest_no_events(lengths: tuple[int, ...]) -> None:
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    events = Events(values=torch.randn(sum(lengths), S), offsets=offsets)
    assert events.latest(0).shape == (3, 0, S)


def din(width: int = D) -> DINInterest:
    config = HeMixConfig(token_width=width, interest="din", embedding=EmbeddingConfig(width=4))
    return DINInterest(config, S)


@torch.no_grad()
@pytest.mark.parametrize("length", [0, 1, 11])
@pytest.mark.parametrize("room", [1, 1000, 4 * 11 * D * 3, 1 << 22])
def test_din_reads_candidates_in_chunks_of_bounded_size(
    room: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module = din()
    seen = module.encode(Events(values=torch.randn(length, S), offsets=torch.tensor([0, length])))
    tokens = torch.randn(10, 2, D)
    shown: list[int] = []
    inner = module.score.forward
    monkeypatch.setattr(module.score, "forward", lambda x: shown.append(x.numel()) or inner(x))
    monkeypatch.setattr(hemix_variants, "DIN_ROOM", room)
    read = module(seen, tokens)
    assert sum(shown) == 10 * length * 4 * D
    assert max(shown) <= max(room, length * 4 * D)  # no less than one candidate's
    alone = torch.cat([module(seen, token[None]) for token in tokens])
    torch.testing.assert_close(read, alone, rtol=1e-5, atol=1e-6)
    target = tokens.mean(1)
    h = seen.values.expand(10, -1, -1)
    weight = module._weight(h, target[:, None].expand_as(h))
    torch.testing.assert_close(read, (weight * h).sum(1, keepdim=True), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_din_of_many_candidates_and_events_stays_small() -> None:
    module = din(128)
    events = Events(values=torch.randn(1000, S), offsets=torch.tensor([0, 1000]))
    sizes: list[int] = []
    hook = module.score.register_forward_pre_hook(lambda _, x: sizes.append(4 * x[0].numel()))
    assert module(module.encode(events), torch.randn(60, 2, 128)).shape == (60, 1, 128)
    hook.remove()
    assert max(sizes) <= 4 << 20
