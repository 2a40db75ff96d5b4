"""``POST /v1/events`` and Feast's ``POST /push``: live events in, one result each."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response

from hemix.errors import RequestError
from hemix.serving.events.desk import LEVELS, MAX_EVENTS
from hemix.serving.events.feast_push import events_of_push
from hemix.serving.messages.echo import is_deeper
from hemix.serving.protocol.bodies import deflated, inflated
from hemix.serving.protocol.endpoint import MODEL_NAME, RankingModel
from hemix.serving.protocol.plane import NotHere, Plane, counted
from hemix.serving.protocol.v2_http import parse_json


class EventRoutes:
    """What answers events over HTTP; ``limit``: bytes of a body once it is inflated."""

    def __init__(self, plane: Plane, limit: int) -> None:
        self._plane, self._limit = plane, limit

    def register(self, app: FastAPI) -> None:
        """Add the route."""
        router = APIRouter()
        router.add_api_route("/v1/events", self.events, methods=["POST"], response_model=None)
        router.add_api_route("/push", self.push, methods=["POST"], response_model=None)
        app.include_router(router)

    async def events(self, request: Request) -> Response:
        """Take a batch; refused events are among the results, what is taken is acknowledged."""
        return await self._take(request, events_of)

    async def push(self, request: Request) -> Response:
        """The same, of rows in the form of Feast's push API."""
        return await self._take(request, events_of_push)

    async def _take(self, request: Request, read: Callable[[object], list[object]]) -> Response:
        with counted():
            model = self._plane.get_model_from_registry(MODEL_NAME)
            if not isinstance(model, RankingModel):
                raise NotHere("path: a predictor takes no events; send them to the transformer.")
            encoding = request.headers.get("Content-Encoding")
            body = inflated(await request.body(), encoding, limit=self._limit)
            results = await model.take_events(_some(read(parse_json(body))))
        answer, more = deflated(
            orjson.dumps(results.to_json()), request.headers.get("Accept-Encoding")
        )
        return Response(answer, media_type="application/json", headers=more)


def events_of(body: object) -> list[object]:
    """The events of ``{"events": [...]}``, unchecked; RequestError when it is no such body."""
    if not isinstance(body, dict) or set(body) != {"events"}:
        raise RequestError('body: must be a JSON object {"events": [...]}.')
    events = body["events"]
    if not isinstance(events, list):
        raise RequestError(f"events: give a list of 1 to {MAX_EVENTS} events.")
    return events


def _some(events: list[object]) -> list[object]:
    if not 1 <= len(events) <= MAX_EVENTS:
        raise RequestError(f"events: give a list of 1 to {MAX_EVENTS} events.")
    for number, event in enumerate(events):
        if is_deeper(event, LEVELS):
            raise RequestError(
                f"events[{number}]: lists and objects lie in each other more than {LEVELS} deep; an"
                " event has its fields and, in labels and context, one level more."
            )
    return events
