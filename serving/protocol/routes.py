"""The HTTP routes of requests, in front of kserve's own.

kserve's routes hand a V2 body to pydantic before anyone can say what is wrong with it, refuse JSON
without a content type, know no versions and no compression. So requests come through these; health,
model lists and metrics stay kserve's.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady
from starlette.exceptions import HTTPException

from hemix.errors import HemixError
from hemix.serving.admission.limits import retry_headers
from hemix.serving.messages.echo import short
from hemix.serving.metrics import REQUESTS
from hemix.serving.protocol.bodies import deflated, inflated
from hemix.serving.protocol.plane import NotOffered, Plane, counted
from hemix.serving.protocol.v2_binary import HEADER_LENGTH
from hemix.serving.protocol.v2_http import parse_json, read_request, write_response


class Routes:
    """What answers requests over HTTP; ``limit``: bytes of a body once it is inflated."""

    def __init__(self, plane: Plane, limit: int) -> None:
        self._plane, self._limit = plane, limit

    def register(self, app: FastAPI) -> None:
        """Add the routes; those that are added first win."""
        router = APIRouter()
        add = router.add_api_route
        for at in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            add(f"{at}/infer", self.infer, methods=["POST"], response_model=None)
            add(f"{at}/ready", self.ready, methods=["GET"], response_model=None)
            add(at, self.metadata, methods=["GET"], response_model=None)
        add("/v1/models/{name}:predict", self.predict, methods=["POST"], response_model=None)
        app.router.redirect_slashes = False
        app.include_router(router)

    async def predict(self, name: str, request: Request) -> Response:
        """V1."""
        with counted():
            model = self._plane.asked(name)
            body = parse_json(await self._body(request))
        answer, _ = await model(body)
        return self._respond(request, orjson.dumps(answer), "application/json", {})

    async def infer(self, name: str, request: Request, version: str | None = None) -> Response:
        """V2, as JSON and as binary tensors."""
        with counted():
            model = self._plane.asked(name, version)
            body = await self._body(request)
            tensors = read_request(body, request.headers.get(HEADER_LENGTH))
        answer, _ = await model(tensors)
        content, json_length = write_response(answer)
        if json_length is None:
            return self._respond(request, content, "application/json", {})
        headers = {HEADER_LENGTH: str(json_length)}
        return self._respond(request, content, "application/octet-stream", headers)

    async def metadata(self, name: str, version: str | None = None) -> Response:
        """What a model takes and gives."""
        self._plane.served(name, version)
        return JSONResponse(await self._plane.model_metadata(name))

    async def ready(self, name: str, version: str | None = None) -> Response:
        """Whether a model, or a version of it, is warm."""
        model = self._plane.served(name, version)
        model.require_ready()
        return JSONResponse({"name": name, "ready": True})

    async def _body(self, request: Request) -> bytes:
        encoding = request.headers.get("Content-Encoding")
        return inflated(await request.body(), encoding, limit=self._limit)

    @staticmethod
    def _respond(request: Request, body: bytes, kind: str, headers: dict[str, str]) -> Response:
        body, more = deflated(body, request.headers.get("Accept-Encoding"))
        return Response(body, media_type=kind, headers={**headers, **more})


def handle_errors(app: FastAPI) -> None:
    """Every refusal is ``{"error": "field: ..."}``, and none but our own faults fills the log."""
    handlers: dict[Any, Any] = {
        HemixError: _hemix_error,
        InvalidInput: _invalid_input,
        ModelNotFound: _not_found,
        ServerNotReady: _not_ready,
        ModelNotReady: _not_ready,
        RequestValidationError: _invalid_input,
        HTTPException: _http_error,
        NotImplementedError: _not_offered,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _error(text: str, status: int, headers: Any = None) -> JSONResponse:
    carried = text.encode(errors="replace").decode()
    return JSONResponse({"error": carried}, status_code=status, headers=headers)


async def _hemix_error(_: Request, error: HemixError) -> JSONResponse:
    return _error(str(error), error.http_status, retry_headers(error))


async def _not_ready(_: Request, error: Exception) -> JSONResponse:
    """A probe asks every second while a model loads: kserve would log a traceback each time."""
    return _error(str(error), HTTPStatus.SERVICE_UNAVAILABLE)


async def _invalid_input(_: Request, error: Exception) -> JSONResponse:
    """kserve's and FastAPI's own checks, of routes that are not ours."""
    REQUESTS.labels("", "", "400").inc()
    return _error(f"body: {short(str(error))}", HTTPStatus.BAD_REQUEST)


async def _not_found(_: Request, error: ModelNotFound) -> JSONResponse:
    return _error(f"model: {short(str(error))}", HTTPStatus.NOT_FOUND)


async def _not_offered(_: Request, error: NotImplementedError) -> JSONResponse:
    return _error(str(error), NotOffered.http_status)


async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    """No such path, or not by this method."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        text = f"path: {short(request.url.path)}: there is nothing here."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        text = f"method: {short(request.method)} is not taken here."
    else:
        text = f"request: {short(str(error.detail))}"
    return _error(text, error.status_code, error.headers)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    """The server's own fault: the log has the traceback, the client needs none of it."""
    text = f"Internal error ({type(error).__name__}); the endpoint's log says more."
    return _error(text, HTTPStatus.INTERNAL_SERVER_ERROR)
