"""The gRPC service: kserve's methods, with our reading of requests and our errors.

kserve's servicer is subclassed for the methods that read tensors or name versions. Its interceptor
logs a traceback for every bad request, and grpc itself one for every message that is no message; so
messages are parsed here, and every error becomes a status here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode, aio
from kserve.errors import ServerNotLive, ServerNotReady
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer

from hemix.errors import HemixError, RequestError
from hemix.serving.admission.grpc_calls import retry_metadata
from hemix.serving.admission.threaded_model import NotWarm
from hemix.serving.protocol.plane import Plane, counted
from hemix.serving.protocol.v2_grpc import read_message, write_message

logger = logging.getLogger("hemix.serving")

SERVICE = "GRPCInferenceService"
STATUS = {
    400: StatusCode.INVALID_ARGUMENT,
    404: StatusCode.NOT_FOUND,
    413: StatusCode.RESOURCE_EXHAUSTED,
    499: StatusCode.CANCELLED,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}


class Service(InferenceServicer):
    """kserve's servicer over our plane."""

    _data_plane: Plane

    async def ModelReady(self, request: Any, context: Any) -> Any:
        """Whether a model, or a version of it, is warm."""
        try:
            model = self._data_plane.served(request.name, request.version or None)
        except NotWarm:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=bool(model.ready))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        """What a model takes and gives."""
        self._data_plane.served(request.name, request.version or None)
        return pb.ModelMetadataResponse(**await self._data_plane.model_metadata(request.name))

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        """One request."""
        with counted():
            model = self._data_plane.asked(request.model_name, request.model_version or None)
            tensors = read_message(request)
        answer, _ = await model(tensors)
        return write_message(answer)


def add_service(service: Service, server: aio.Server) -> None:
    """Let ``server`` answer kserve's gRPC methods by ``service``."""
    described = pb.DESCRIPTOR.services_by_name[SERVICE]
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            _answering(getattr(service, method.name), GetMessageClass(method.input_type)),
            response_serializer=lambda message: message.SerializeToString(),
        )
        for method in described.methods
    }
    generic = grpc.method_handlers_generic_handler(described.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))


def _answering(
    method: Callable[[Any, Any], Awaitable[Any]], kind: Any
) -> Callable[[bytes, Any], Awaitable[Any]]:
    async def answer(data: bytes, context: Any) -> Any:
        try:
            with counted():
                message = _parsed(data, kind)
            return await method(message, context)
        except HemixError as error:
            status = STATUS.get(error.http_status, StatusCode.INTERNAL)
            again = retry_metadata(str(error)) if status is StatusCode.UNAVAILABLE else ()
            await context.abort(status, str(error), trailing_metadata=again)
        except (ServerNotReady, ServerNotLive) as error:
            await context.abort(StatusCode.UNAVAILABLE, str(error))
        except NotImplementedError as error:
            await context.abort(StatusCode.UNIMPLEMENTED, str(error))
        except Exception as error:
            logger.exception("A gRPC call failed.")
            text = f"Internal error ({type(error).__name__}); the endpoint's log says more."
            await context.abort(StatusCode.INTERNAL, text)

    return answer


def _parsed(data: bytes, kind: Any) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise RequestError(f"body: is not a {kind.DESCRIPTOR.name} message.") from error
