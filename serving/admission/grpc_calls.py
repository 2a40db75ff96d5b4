"""gRPC requests at the gate: refused before their message is read, ended when their client is gone.

A refusal is UNAVAILABLE with ``grpc-retry-pushback-ms``, which gRPC's own retries obey, and with
``google.rpc.RetryInfo`` in its status, which clients' libraries read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from hemix.serving.admission.limits import RETRY_AFTER_S
from hemix.serving.admission.room import CALL, Gate
from hemix.serving.call import HungUp, Overloaded, expired
from hemix.serving.metrics import REQUESTS, SHED

_INFER = "/inference.GRPCInferenceService/ModelInfer"


Metadata = tuple[tuple[str, str | bytes], ...]


def retry_metadata(text: str) -> Metadata:
    """Trailing metadata of a refusal that says ``text``: when to come again, in both forms there are.

    Source: google.rpc's error model (AIP-193); gRPC's proposal A6 for the push-back.
    """
    from google.protobuf.any_pb2 import Any as Packed
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    info, packed = RetryInfo(), Packed()
    info.retry_delay.seconds = RETRY_AFTER_S
    packed.Pack(info)
    status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message=text, details=[packed])
    return (
        ("grpc-retry-pushback-ms", str(RETRY_AFTER_S * 1000)),
        ("grpc-status-details-bin", status.SerializeToString()),
    )


class GrpcDoor(aio.ServerInterceptor):
    """Lets calls of ``ModelInfer`` in; all other methods pass."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        if handler_call_details.method != _INFER:
            return await continuation(handler_call_details)
        if self._gate.full(0):
            SHED.labels("full").inc()
            REQUESTS.labels("", "", "503").inc()
            return grpc.unary_unary_rpc_method_handler(_refuse)
        handler = await continuation(handler_call_details)
        inner = handler.unary_unary

        async def admitted(request: bytes, context: Any) -> Any:
            return await self._admitted(inner, request, context)

        return grpc.unary_unary_rpc_method_handler(
            admitted,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _admitted(self, inner: Any, request: bytes, context: Any) -> Any:
        size = len(request)
        try:
            if not self._gate.hold(size):
                raise Overloaded("The bodies of other requests fill the memory set aside.")
            try:
                call = self._gate.enter(size, context.time_remaining())
            except Overloaded:
                self._gate.drop(size)
                raise
        except Overloaded as error:
            REQUESTS.labels("", "", "503").inc()
            await _abort(context, str(error))
            return None
        timer = asyncio.get_running_loop().call_later(
            max(0.0, call.left_s), lambda: call.end(expired())
        )
        token = CALL.set(call)
        try:
            return await inner(request, context)
        except asyncio.CancelledError:
            call.end(HungUp("The client left."))
            raise
        finally:
            CALL.reset(token)
            timer.cancel()
            self._gate.drop(size)
            self._gate.leave(call)


async def _refuse(_: bytes, context: Any) -> None:
    await _abort(context, "The endpoint is full. Try again in a second.")


async def _abort(context: Any, text: str) -> None:
    status = grpc.StatusCode.UNAVAILABLE
    await context.abort(status, text, trailing_metadata=retry_metadata(text))
