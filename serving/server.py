"""The endpoint's process: kserve's REST and gRPC servers around :class:`RankerModel`.

``kserve.ModelServer`` as it is, but for: the host it binds, a body limit, errors that name the
field, ports that are taken before anything is loaded, no log line a request, and no way to unload
the model from outside.
"""

from __future__ import annotations

import json
import logging
import socket
from concurrent import futures
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from grpc import StatusCode, aio
from kserve import ModelServer
from kserve.errors import InvalidInput, ModelNotReady, ServerNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as v2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import InferResponse
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer

from hemix.errors import EnvironmentProblem, HemixError, RequestError
from serving.limits import BodyLimit
from serving.metrics import REQUESTS
from serving.predictor import Packed, PredictorModel, TensorRequest
from serving.wire import HEADER_LENGTH, unpack

_GRPC_STATUS = {
    400: StatusCode.INVALID_ARGUMENT,
    413: StatusCode.RESOURCE_EXHAUSTED,
    503: StatusCode.UNAVAILABLE,
}


class _DataPlane(DataPlane):
    """Decodes bodies so that what is wrong with them is said as the contract says it."""

    def decode(
        self,
        body: Any,
        headers: Any,
        protocol_version: str = "v1",
        model_name: str | None = None,
    ) -> Any:
        if protocol_version == "v1" and isinstance(body, bytes):
            return _json(body), {}
        try:
            return super().decode(body, headers, protocol_version, model_name)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RequestError(f"The body is not a V2 request ({error!r}).") from error

    def encode(self, model_name: str, response: Any, headers: Any, req_attributes: Any) -> Any:
        if isinstance(response, Packed):
            return response.body, {HEADER_LENGTH: str(response.json_length)}
        if isinstance(response, InferResponse):
            response, _ = response.to_rest()
        return response, {}

    async def ready(self) -> bool:
        """True when every model is warm."""
        models = self.model_registry.get_models().values()
        return all([await model.healthy() for model in models])


class _PredictorPlane(_DataPlane):
    """Leaves binary tensors as they came: no detour over Python lists."""

    def decode(
        self,
        body: Any,
        headers: Any,
        protocol_version: str = "v1",
        model_name: str | None = None,
    ) -> Any:
        length = headers.get(HEADER_LENGTH.lower()) if headers else None
        if isinstance(body, bytes) and length is not None:
            if not length.isdecimal():
                raise RequestError(f"{HEADER_LENGTH}: {length[:20]} is not a number of bytes.")
            head, tensors = unpack(body, int(length))
            return TensorRequest(head=head, tensors=tensors), {}
        return super().decode(body, headers, protocol_version, model_name)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(body)  # knows NaN, which the contract then refuses by field
        except (ValueError, RecursionError):
            raise RequestError(f"The body is not JSON ({error}).") from error


class _ReadOnlyRepository(ModelRepositoryExtension):
    """Versions change through the registry, never by a request."""

    async def load(self, model_name: str) -> None:
        raise NotImplementedError("Versions are loaded from the registry: hemix models.")

    async def unload(self, model_name: str) -> None:
        raise NotImplementedError("Versions are unloaded through the registry: hemix models.")


class _Rest(RESTServer):
    def __init__(
        self, *args: Any, bound: socket.socket, limit: int, models: list[Any], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._bound = bound
        self._limit = limit
        self._models = models
        self.config.access_log = False

    def _register_endpoints(self, app: FastAPI) -> None:
        for model in self._models:
            if isinstance(model, PredictorModel):
                path = f"/v2/models/{model.name}/contract"
                contract = model.contract.model_dump_json().encode()
                app.add_api_route(path, partial(_json_bytes, contract), methods=["GET"])
        super()._register_endpoints(app)

    def _add_middlewares(self, app: FastAPI) -> None:
        app.add_middleware(BodyLimit, limit=self._limit)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        super()._add_exception_handlers(app)
        app.add_exception_handler(HemixError, _hemix_error)
        app.add_exception_handler(InvalidInput, _invalid_input)
        app.add_exception_handler(ServerNotReady, _not_ready)
        app.add_exception_handler(ModelNotReady, _not_ready)
        app.add_exception_handler(RequestValidationError, _invalid_body)
        app.add_exception_handler(Exception, _unexpected)

    async def start(self) -> None:
        self.create_application()
        await self._server.serve(sockets=[self._bound])


async def _json_bytes(content: bytes) -> Response:
    return Response(content, media_type="application/json")


async def _hemix_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HemixError)
    return JSONResponse({"error": str(error)}, status_code=error.http_status)


async def _not_ready(_: Request, error: Exception) -> JSONResponse:
    """A probe asks every second while a model loads: kserve would log a traceback each time."""
    return JSONResponse({"error": str(error)}, status_code=HTTPStatus.SERVICE_UNAVAILABLE)


async def _invalid_input(_: Request, error: Exception) -> JSONResponse:
    REQUESTS.labels("", "", "400").inc()
    return JSONResponse({"error": str(error)}, status_code=HTTPStatus.BAD_REQUEST)


async def _invalid_body(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's own check of a V2 body; 400 as for every other malformed request."""
    assert isinstance(error, RequestValidationError)
    REQUESTS.labels("", "", "400").inc()
    inner = [e for e in error.errors() if "bytes" not in e["loc"]] or error.errors()
    path = ".".join(str(p) for p in inner[0]["loc"] if p not in ("body", "InferenceRequest"))
    text = f"{path or 'body'}: {inner[0]['msg']}."
    return JSONResponse({"error": text}, status_code=HTTPStatus.BAD_REQUEST)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    """The server's own fault: the log has the traceback, the client needs none of it."""
    text = f"Internal error ({type(error).__name__}); the endpoint's log says more."
    return JSONResponse({"error": text}, status_code=HTTPStatus.INTERNAL_SERVER_ERROR)


class _Errors(ExceptionToStatusInterceptor):
    async def handle_exception(
        self, ex: Exception, request_or_iterator: Any, context: Any, method_name: str
    ) -> None:
        if isinstance(ex, HemixError):
            status = _GRPC_STATUS.get(ex.http_status, StatusCode.INTERNAL)
            await context.abort(status, str(ex))
        if isinstance(ex, NotImplementedError):
            await context.abort(StatusCode.UNIMPLEMENTED, str(ex))
        await super().handle_exception(ex, request_or_iterator, context, method_name)


class _Grpc(GRPCServer):
    def __init__(self, *args: Any, address: str, limit: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._address = address
        self._limit = limit

    async def start(self, max_workers: int) -> None:
        self._server = aio.server(
            futures.ThreadPoolExecutor(max_workers=max_workers),
            interceptors=(_Errors(),),
            options=[
                ("grpc.max_receive_message_length", self._limit),
                ("grpc.so_reuseport", 0),
            ],
        )
        servicer = InferenceServicer(self._data_plane, self._model_repository_extension)
        v2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        if not self._server.add_insecure_port(self._address):
            raise EnvironmentProblem(f"gRPC cannot listen on {self._address}.")
        await self._server.start()
        await self._server.wait_for_termination()


class RankerServer(ModelServer):
    """``kserve.ModelServer`` on ports that are already ours, around one model."""

    def __init__(
        self, *, http: socket.socket, host: str, grpc_port: int, grace_s: int, body_limit: int
    ) -> None:
        super().__init__(
            http_port=http.getsockname()[1],
            grpc_port=grpc_port,
            workers=1,
            max_threads=1,
            enable_latency_logging=False,
            grace_period=grace_s,
        )
        self.model_repository_extension = _ReadOnlyRepository(model_registry=self.registered_models)
        self._http = http
        self._host = host
        self._body_limit = body_limit

    def start(self, models: list[Any]) -> None:
        """Serve until SIGTERM or SIGINT; requests under way are answered first."""
        import uvloop

        for model in models:  # kserve itself would refuse those that are not ready yet
            self.register_model(model)
        plane = _PredictorPlane if isinstance(models[0], PredictorModel) else _DataPlane
        self.dataplane = plane(model_registry=self.registered_models)
        self._rest_server = _Rest(
            "kserve.model_server:app",
            self.dataplane,
            self.model_repository_extension,
            self.http_port,
            grace_period=self.grace_period,
            bound=self._http,
            limit=self._body_limit,
            models=models,
        )
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._grpc_server = _Grpc(
            self.grpc_port,
            self.dataplane,
            self.model_repository_extension,
            kwargs={},
            grace_period=self.grace_period,
            address=f"{host}:{self.grpc_port}",
            limit=self._body_limit,
        )
        self.servers.extend([self._rest_server.start(), self._grpc_server.start(1)])
        logging.getLogger("uvicorn.access").disabled = True
        self.register_signal_handler()
        uvloop.run(self._serve())
