"""A challenger that goes bad in service: the champion answers, exposures say so, and it is taken out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from prometheus_client import REGISTRY

from hemix.features.store.rows import OnlineRows
from hemix.serving.exposures.log import Exposure
from hemix.serving.messages.answer import TIME_AHEAD, TIME_BEFORE_FEATURES, VERSION_UNAVAILABLE
from hemix.serving.messages.request import RankingRequest
from hemix.serving.messages.soundness import UnsoundScores
from hemix.serving.protocol.v2_binary import HEADER_LENGTH, pack
from hemix.serving.ranking.conduct import MOST, WINDOW
from hemix.serving.ranking.loading import Loader
from hemix.serving.ranking.pool import VersionPool
from hemix.serving.ranking.service import LocalRanker
from hemix.serving.two_roles.predictor_client import Message, PredictorCalls
from hemix.serving.two_roles.remote_ranker import RemoteRanker
from tests.features.store.data import TYPES, definition
from tests.serving.ranking.test_pool import Named, says
from tests.serving.two_roles.test_calls import answering, running

AS_OF_S = 1_650_000_000.0


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A version in front of a model that does as a test says."""

    encoding: ClassVar[str] = "transform"
    name: str
    scores: Callable[[int], Any]
    encode: Callable[[Any], Any] = lambda raw: raw
    definition: Any = field(default_factory=definition)
    types: Any = TYPES
    bins: Any = None
    asked_of_candidates: ClassVar[tuple[str, ...]] = ()
    online: Any = field(
        default_factory=lambda: SimpleNamespace(newest={"users": AS_OF_S, "items": AS_OF_S - 9e6})
    )

    def read(self, request: RankingRequest) -> tuple[OnlineRows, OnlineRows]:
        return rows([request.user_id]), rows(request.item_ids)

    def assemble(self, user: Any, items: Any, context: Any, time_ms: int) -> Any:
        return items

    def with_live(
        self, raw: Any, request: RankingRequest, time_ms: int
    ) -> tuple[Any, tuple[str, ...]]:
        return raw, ()

    def score(self, items: Any) -> dict[str, Any]:
        return {"click": self.scores(len(items.keys))}


def rows(keys: list[Any]) -> OnlineRows:
    return OnlineRows(keys=np.array(keys), known=np.ones(len(keys), bool), columns={})


def sound(count: int) -> Any:
    return np.linspace(0.1, 0.9, count, dtype=np.float32)


def nan(count: int) -> Any:
    scores = sound(count)
    scores[-1] = np.nan
    return scores


def fails(count: int) -> Any:
    raise RuntimeError("the size of tensor a must match")


class Exposures(list[Exposure]):
    """Where a ranker's exposures go."""


class Bench:
    """A ranker over a champion and a challenger."""

    def __init__(self, challenger: Odd, champion: Odd | None = None) -> None:
        made = {"bad": challenger, "good": champion or Odd(name="good", scores=sound)}
        self.pool: VersionPool[Any] = VersionPool(
            Named(says("good", "bad")), Loader(lambda name: made[name])
        )
        self.exposures = Exposures()
        self.ranker = LocalRanker(self.pool, self.exposures)  # type: ignore[arg-type]
        pairs = [(self.pool.live.route(user)[0].name, user) for user in range(300)]
        self.own = [user for variant, user in pairs if variant == "challenger"]
        self.others = [user for variant, user in pairs if variant == "champion"]

    def ask(self, user: int, time_ms: int | None = None) -> Any:
        request = RankingRequest(
            request_id="r", user_id=user, item_ids=[1, 2, 3], context={}, timestamp_ms=time_ms
        )
        return self.ranker.finish(*self.ranker.score(self.ranker.prepare(request)))


def failures(version: str, reason: str) -> float:
    labels = {"version": version, "reason": reason}
    return REGISTRY.get_sample_value("hemix_version_failures_total", labels) or 0.0


@pytest.mark.parametrize(
    ("challenger", "reason"),
    [
        (Odd(name="bad", scores=nan), "scores"),
        (Odd(name="bad", scores=lambda count: sound(count) + 1), "scores"),
        (Odd(name="bad", scores=lambda count: sound(count - 1)), "scores"),
        (Odd(name="bad", scores=fails), "error"),
        (Odd(name="bad", scores=sound, encode=lambda raw: raw.no_such), "error"),
    ],
)
def test_the_champion_answers_instead_and_after_some_failures_for_good(
    challenger: Odd, reason: str
) -> None:
    bench, before = Bench(challenger), failures("bad", reason)
    for number in range(MOST):
        assert "bad" in bench.pool.live.versions, number
        answer = bench.ask(bench.own[number])
        assert (answer.variant, answer.version) == ("challenger", "good")
        assert answer.flags == (VERSION_UNAVAILABLE,)
        assert answer.scores["click"].tolist() == sound(3).tolist()
        exposure = bench.exposures[-1]
        assert (exposure.variant, exposure.version, exposure.error) == ("challenger", "good", "")
        assert exposure.flags == (VERSION_UNAVAILABLE,)
    assert failures("bad", reason) - before == MOST
    assert "bad" not in bench.pool.live.versions
    answer = bench.ask(bench.own[0])
    assert (answer.variant, answer.version) == ("challenger", "good")
    assert answer.flags == (VERSION_UNAVAILABLE,)
    assert failures("bad", reason) - before == MOST, "it is asked no more"
    answer = bench.ask(bench.others[0])
    assert (answer.variant, answer.flags) == ("champion", ())
    bench.pool.refresh()
    labels = {"version": "bad", "reason": "failures"}
    assert REGISTRY.get_sample_value("hemix_version_refused", labels) == 1


def test_a_few_failures_among_many_requests_are_borne() -> None:
    turn = iter(range(10**6))
    every = WINDOW // (MOST - 1) + 1
    bench = Bench(Odd(name="bad", scores=lambda n: nan(n) if not next(turn) % every else sound(n)))
    versions = [bench.ask(bench.own[number % 20]).version for number in range(4 * WINDOW)]
    assert versions.count("good") == len(range(0, 4 * WINDOW, every))
    assert "bad" in bench.pool.live.versions


@pytest.mark.parametrize("scores", [nan, fails])
def test_a_champion_that_fails_answers_nothing(scores: Any) -> None:
    bench = Bench(Odd(name="bad", scores=sound), champion=Odd(name="good", scores=scores))
    with pytest.raises((UnsoundScores, RuntimeError)) as caught:
        bench.ask(bench.others[0])
    assert getattr(caught.value, "http_status", 500) == 500
    assert bench.exposures[-1].error == type(caught.value).__name__
    assert bench.ask(bench.own[0]).version == "bad", "the challenger's users are well"


def test_a_request_that_the_champion_cannot_answer_either_is_not_the_challengers_fault() -> None:
    bench = Bench(Odd(name="bad", scores=nan), champion=Odd(name="good", scores=nan))
    for user in bench.own[: 2 * MOST]:
        with pytest.raises(UnsoundScores):
            bench.ask(user)
    assert "bad" in bench.pool.live.versions


def test_a_time_that_the_features_do_not_know_is_flagged() -> None:
    bench = Bench(Odd(name="bad", scores=sound))
    user, as_of = bench.others[0], round(AS_OF_S * 1000)
    assert bench.ask(user).flags == ()
    assert bench.ask(user, as_of).flags == ()
    assert bench.ask(user, as_of - 1).flags == (TIME_BEFORE_FEATURES,)
    assert bench.ask(user, 4_000_000_000_000).flags == (TIME_AHEAD,)


@dataclass(frozen=True, kw_only=True)
class Apart(Odd):
    """A version whose predictor is at ``url``."""

    contract: Any = field(default_factory=lambda: SimpleNamespace(tasks=("click",)))
    url: Callable[[], str]


def scoring(values: Any) -> Any:
    body, length = pack(
        {"score_click": np.array(values, np.float32)}, request_id="r", side="outputs"
    )
    return answering("200 OK", body, f"{HEADER_LENGTH}: {length}\r\n")


@pytest.mark.parametrize(
    "behave",
    [
        scoring([0.1, np.nan, 0.3]),
        scoring([0.1, 0.2]),
        scoring([0.1, 1.5, 0.3]),
        answering("500 Internal Server Error", b"{}"),
    ],
)
def test_a_transformer_takes_a_bad_version_out_too(behave: Any) -> None:
    async def work(_units: float, function: Any, *args: Any) -> Any:
        return function(*args)

    async def scenario() -> None:
        async with running(behave) as bad, running(scoring([0.1, 0.2, 0.3])) as good:
            calls = PredictorCalls(deadline_s=30, rest_s=0.0)
            encode = lambda raw: Message(body=b"{}", json_length=2)  # noqa: E731
            bench = Bench(
                Apart(name="bad", scores=sound, encode=encode, url=lambda: bad.url),
                champion=Apart(name="good", scores=sound, encode=encode, url=lambda: good.url),
            )
            ranker: Any = RemoteRanker(bench.pool, bench.exposures, calls=calls)  # type: ignore[arg-type]

            async def ask(user: int) -> Any:
                request = RankingRequest(
                    request_id="r", user_id=user, item_ids=[1, 2, 3], context={}, timestamp_ms=None
                )
                return ranker.finish(*await ranker.score(ranker.prepare(request), work))

            for user in bench.own[: MOST + 1]:
                answer = await ask(user)
                assert (answer.variant, answer.version) == ("challenger", "good")
                assert answer.flags == (VERSION_UNAVAILABLE,)
            assert bad.requests == MOST, "then it is asked no more"
            assert (await ask(bench.others[0])).flags == ()
            assert {e.version for e in bench.exposures} == {"good"}
            await calls.close()

    asyncio.run(scenario())
