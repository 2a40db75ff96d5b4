"""The KServe model ``ranker`` where the models are elsewhere: it asks the versions' predictors.

It needs kserve at import.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hemix.serving.call import Call
from hemix.serving.messages.answer import RankingAnswer
from hemix.serving.messages.request import RankingRequest
from hemix.serving.protocol.endpoint import Answers, Batch, RankingModel, Scored, request_units
from hemix.serving.two_roles.remote_ranker import RemoteRanker, RemoteVersion

TOGETHER = 4
"""Requests of one body that a transformer works on at the same time."""


class TransformerModel(RankingModel[RemoteVersion]):
    """The transformer alone; ready once :meth:`begin` was called with a warm ranker."""

    _ranker: RemoteRanker

    def begin(self, ranker: RemoteRanker) -> None:
        """Answer requests from now on."""
        self._ranker = ranker
        self.ready = True

    async def predict(self, payload: Batch, headers: dict[str, str] | None = None) -> Answers:
        turns = asyncio.Semaphore(TOGETHER)
        tasks = [asyncio.create_task(self._score(r, turns)) for r in payload.requests]
        try:
            scored = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        answers = await self.work(0.0, self._finish, self.call, scored)
        return Answers(answers=answers, tensors=payload.tensors)

    async def _score(
        self, request: RankingRequest, turns: asyncio.Semaphore
    ) -> Scored[RemoteVersion]:
        async with turns:
            prepared = await self.work(0.0, self._ranker.prepare, request)
            prepared, scores = await self.call.run(self._ranker.score(prepared, self.work))
            self.gate.done(self.call, request_units(request), 0.0)
            return replace(prepared, encoded=None), scores

    def _finish(self, call: Call, scored: list[Scored[RemoteVersion]]) -> list[RankingAnswer]:
        call.check()
        return [self._ranker.finish(*one) for one in scored]
