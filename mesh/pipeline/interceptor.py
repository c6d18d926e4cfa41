"""The one server interceptor: puts each method's compiled pipeline around its handler, of whatever RPC kind."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError

from mesh.errors import STATUS_DETAILS_KEY, Unimplemented, to_status
from mesh.ids import request_id
from mesh.pipeline.cache import is_cached
from mesh.pipeline.compiler import PipelineCompiler
from mesh.pipeline.exchange import Exchange, Identify, Metadata, Next, as_bytes, open_exchange, peer_workload
from mesh.pipeline.protection import Malformed
from mesh.policy import MethodPolicy

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic in the stubs only
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]
Behaviour = Callable[[Any, Any], Any]


_received: Final[ContextVar[Metadata | None]] = ContextVar("pipeline_received", default=None)
"""The metadata of the call that this task serves: grpc.aio finds the handler and runs it in one task."""


class PipelineInterceptor(grpc.aio.ServerInterceptor):
    """Serves a method only through its pipeline; one without a policy is not served at all.

    Args:
        methods: The policies, by gRPC path.
        compiler: Builds pipelines; each is built when its method is first called.
        open_services: Full names of services that are served bare: a health check pays for nothing.
        identify: Tells which workload calls; by its certificate unless said otherwise.
    """

    def __init__(
        self,
        methods: Mapping[str, MethodPolicy],
        compiler: PipelineCompiler,
        *,
        open_services: frozenset[str] = frozenset(),
        identify: Identify | None = None,
    ) -> None:
        self._methods = methods
        self._open_services = open_services
        self._compiler = compiler
        self._identify = identify or peer_workload()
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: "Continuation", handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Finds or builds the handler of the method that is called (grpc.aio.ServerInterceptor)."""
        path = handler_call_details.method
        _received.set(handler_call_details.invocation_metadata)
        handler = self._handlers.get(path)
        if handler is None:
            bare = await continuation(handler_call_details)
            if bare is not None and path.split("/")[1] in self._open_services:
                return bare
            policy = self._methods.get(path)
            if bare is None or policy is None:
                return _UNKNOWN
            handler = self._handlers[path] = self._wrap(policy, bare)
        return handler

    def _wrap(self, policy: MethodPolicy, bare: "Handler") -> "Handler":
        behaviour, make_handler = _behaviour_of(bare)
        run, identify = self._compiler.compile(policy, _as_next(behaviour)), self._identify

        # grpc.aio looks at the function: only a coroutine function is served asynchronously.
        async def serve(request: Any, context: Any) -> Any:
            return await run(open_exchange(policy, request, context, identify, _received.get()))

        handler: Handler = make_handler(
            serve,
            request_deserializer=_forgiving(bare.request_deserializer),
            response_serializer=_serializer(policy, bare.response_serializer),
        )
        return handler


async def _unknown(_: Any, context: Any) -> None:
    """Answers a call of a method that is not there, with details as every refusal has them."""
    error = Unimplemented("METHOD_UNKNOWN", "there is no such RPC")
    status = to_status(error, request_id=request_id()).SerializeToString()
    await context.abort(error.code, error.message, ((STATUS_DETAILS_KEY, status),))


# Streams on both sides: it need not read what it will not answer, whatever kind of call comes.
_UNKNOWN: Final["Handler"] = grpc.stream_stream_rpc_method_handler(_unknown)


def _behaviour_of(bare: "Handler") -> tuple[Behaviour, Callable[..., Any]]:
    match (bare.request_streaming, bare.response_streaming):
        case (False, False):
            return bare.unary_unary, grpc.unary_unary_rpc_method_handler  # type: ignore[return-value]
        case (False, True):
            return bare.unary_stream, grpc.unary_stream_rpc_method_handler  # type: ignore[return-value]
        case (True, False):
            return bare.stream_unary, grpc.stream_unary_rpc_method_handler  # type: ignore[return-value]
        case _:
            return bare.stream_stream, grpc.stream_stream_rpc_method_handler  # type: ignore[return-value]


def _as_next(behaviour: Behaviour) -> Next:
    """A handler as the innermost step. A generator becomes a coroutine that writes: stages see one kind only."""
    if inspect.isasyncgenfunction(behaviour):

        async def write_all(exchange: Exchange) -> None:
            async for response in behaviour(exchange.request, exchange.context):
                await exchange.context.write(response)

        return write_all

    def call(exchange: Exchange) -> Any:
        return behaviour(exchange.request, exchange.context)

    return call


def _serializer(policy: MethodPolicy, serialize: Callable[..., bytes] | None) -> Callable[..., bytes]:
    """How a method's responses go out: only where one may have been kept, it may be bytes already."""
    if policy.keyed or is_cached(policy) or serialize is None:
        return as_bytes
    return partial(serialize, deterministic=True)


def _forgiving(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A deserializer that lets damaged bytes through to validation: gRPC itself would answer INTERNAL, bare."""

    def decode(data: bytes) -> Any:
        try:
            return deserialize(data) if deserialize else data
        except (DecodeError, ValueError):
            return Malformed()

    return decode
