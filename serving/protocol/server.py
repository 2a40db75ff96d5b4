"""The endpoint's process: kserve's REST and gRPC servers around one of our models.

``kserve.ModelServer`` as it is, but for: the host it binds, a body limit, ports that are taken before
anything is loaded, requests that are read and refused by our own routes (:mod:`hemix.serving.protocol.routes`,
:mod:`hemix.serving.protocol.grpc_service`), no log line a request, and no way to unload the model from outside.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from concurrent import futures
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from grpc import aio
from kserve import ModelServer
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer

from hemix.errors import EnvironmentProblem
from hemix.serving.admission.connections import IDLE_S, MAX_HEAD, Connection, watch_arrivals
from hemix.serving.admission.grpc_calls import GrpcDoor
from hemix.serving.admission.limits import Door
from hemix.serving.admission.room import Gate
from hemix.serving.protocol.event_routes import EventRoutes
from hemix.serving.protocol.grpc_service import Service, add_service
from hemix.serving.protocol.plane import NotOffered, Plane
from hemix.serving.protocol.routes import Routes, handle_errors

MAX_STREAMS = 256
"""Requests under way on one gRPC connection."""


class _ReadOnlyRepository(ModelRepositoryExtension):
    """Versions change through the registry, never by a request."""

    async def load(self, model_name: str) -> None:
        raise NotOffered("path: versions are loaded from the registry: hemix models.")

    async def unload(self, model_name: str) -> None:
        raise NotOffered("path: versions are unloaded through the registry: hemix models.")


class _Rest(RESTServer):
    def __init__(
        self,
        *args: Any,
        bound: socket.socket,
        limit: int,
        gate: Gate,
        models: list[Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, timeout_keep_alive=IDLE_S, **kwargs)
        self._bound = bound
        self._limit = limit
        self._gate = gate
        self._models = models
        self.config.access_log = False
        self.config.http = partial(Connection, gate=gate)
        self.config.ws = "none"

    def _register_endpoints(self, app: FastAPI) -> None:
        for model in self._models:
            for name, content in model.documents.items():
                path = f"/v2/models/{model.name}/{name}"
                app.add_api_route(path, partial(_json_bytes, content), methods=["GET"])
        Routes(self.dataplane, self._limit).register(app)
        EventRoutes(self.dataplane, self._limit).register(app)
        super()._register_endpoints(app)

    def _add_middlewares(self, app: FastAPI) -> None:
        app.add_middleware(Door, gate=self._gate, limit=self._limit)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        handle_errors(app)

    async def start(self) -> None:
        self.create_application()
        watch = asyncio.create_task(watch_arrivals(self._server.server_state, self._gate))
        try:
            await self._server.serve(sockets=[self._bound])
        finally:
            watch.cancel()


async def _json_bytes(content: bytes) -> Response:
    return Response(content, media_type="application/json")


class _Grpc(GRPCServer):
    def __init__(self, *args: Any, address: str, limit: int, gate: Gate, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._address = address
        self._gate = gate
        self._limit = limit

    async def start(self, max_workers: int) -> None:
        self._server = aio.server(
            futures.ThreadPoolExecutor(max_workers=max_workers),
            interceptors=(GrpcDoor(self._gate),),
            options=[
                ("grpc.max_receive_message_length", self._limit),
                ("grpc.max_metadata_size", MAX_HEAD),
                ("grpc.max_concurrent_streams", MAX_STREAMS),
                ("grpc.so_reuseport", 0),
            ],
        )
        add_service(Service(self._data_plane, self._model_repository_extension), self._server)
        if not self._server.add_insecure_port(self._address):
            raise EnvironmentProblem(f"gRPC cannot listen on {self._address}.")
        await self._server.start()
        await self._server.wait_for_termination()


class RankerServer(ModelServer):
    """``kserve.ModelServer`` on ports that are already ours, around one model.

    Args:
        http: socket that listens for HTTP.
        host: address of gRPC.
        grpc_port: port of gRPC.
        grace_s: seconds that open requests have when it stops.
        body_limit: largest body, bytes.
        gate: who is let in.
    """

    def __init__(
        self,
        *,
        http: socket.socket,
        host: str,
        grpc_port: int,
        grace_s: int,
        body_limit: int,
        gate: Gate,
    ) -> None:
        super().__init__(
            http_port=http.getsockname()[1],
            grpc_port=grpc_port,
            workers=1,
            max_threads=1,
            enable_latency_logging=False,
            grace_period=grace_s,
        )
        # It sets up kserve's logger, which has a traceback for every request that is refused.
        logging.getLogger("kserve").setLevel(logging.CRITICAL)
        self.model_repository_extension = _ReadOnlyRepository(model_registry=self.registered_models)
        self._http = http
        self._host = host
        self._body_limit = body_limit
        self._gate = gate

    def start(self, models: list[Any]) -> None:
        """Serve until SIGTERM or SIGINT; requests under way are answered first."""
        import uvloop

        for model in models:  # kserve itself would refuse those that are not ready yet
            self.register_model(model)
        self.dataplane = Plane(model_registry=self.registered_models)
        self._rest_server = _Rest(
            "kserve.model_server:app",
            self.dataplane,
            self.model_repository_extension,
            self.http_port,
            grace_period=self.grace_period,
            bound=self._http,
            limit=self._body_limit,
            gate=self._gate,
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
            gate=self._gate,
        )
        self.servers.extend([self._rest_server.start(), self._grpc_server.start(1)])
        logging.getLogger("uvicorn.access").disabled = True
        self.register_signal_handler()
        uvloop.run(self._serve())
