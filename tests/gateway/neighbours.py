"""Neighbours of the edge in tests: gRPC servers over mTLS that speak the real contracts and answer as they are told."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_status import rpc_status

from gateway.keys import CORRELATION
from mesh.health import Health
from mesh.policy import MethodPolicy, Policy, load_policy
from tests.harness import Tokens

Answer = Callable[[Any, Any], Awaitable[Message] | AsyncIterator[Message]]
"""What a method does: (request, context) -> the answer, or a stream of them."""


@cache
def policy() -> Policy:
    return load_policy()


@cache
def services() -> dict[str, ServiceDescriptor]:
    """Give the descriptors of all services of the contract, by full name."""
    found = {}
    for name in {method.service for method in policy().methods.values()}:
        package, _, service = name.rpartition(".")
        module = f"{service.removesuffix('Service').lower()}_service_pb2"
        found[name] = import_module(f"{package}.{module}").DESCRIPTOR.services_by_name[service]
    return found


def message(full_name: str, **fields: Any) -> Any:
    """Make a message of the contract by its full name."""
    for service in services().values():
        for method in service.methods:
            for kind in (method.input_type, method.output_type):
                if kind.full_name == full_name:
                    return message_factory.GetMessageClass(kind)(**fields)
    raise LookupError(full_name)


def request_of(method: MethodPolicy, **fields: Any) -> Any:
    return message(method.request_type, **fields)


def response_of(path: str, **fields: Any) -> Any:
    return message(policy().methods[path].response_type, **fields)


@dataclass(frozen=True)
class Call:
    """What a neighbour was asked."""

    path: str
    request: Any
    metadata: dict[str, str | bytes]
    time_remaining: float | None


@dataclass
class Neighbour:
    """One process of a workload. Methods that are not told what to do give an empty message, or an empty stream.

    Where it has `keys`, it publishes them.
    """

    workload: str
    identity: Path
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    health: Health | None = None
    interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
    port: int = 0
    keys: Tokens | None = None
    key_fetches: int = 0
    _server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen: on a free port the first time, on the same one again after a stop."""
        server = grpc.aio.server(interceptors=self.interceptors, options=[("grpc.so_reuseport", 0)])
        for name in policy().workloads[self.workload].services:
            handlers = {method.name: self._handler(method) for method in services()[name].methods}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        health = self.health or Health((), {})
        await health.probe()
        add_HealthServicer_to_server(health, server)
        credentials = grpc.ssl_server_credentials(
            [((self.identity / "key.pem").read_bytes(), (self.identity / "cert.pem").read_bytes())],
            root_certificates=(self.identity / "ca.pem").read_bytes(),
            require_client_auth=True,
        )
        self.port = server.add_secure_port(self.address, credentials)
        await server.start()
        self._server = server

    async def kill(self) -> None:
        """Go without a word: connections are cut, calls in flight die."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def forget(self) -> None:
        self.calls.clear()
        self.answers.clear()

    def _handler(self, method: MethodDescriptor) -> Any:
        path = f"/{method.containing_service.full_name}/{method.name}"
        request_class = message_factory.GetMessageClass(method.input_type)
        response_class = message_factory.GetMessageClass(method.output_type)
        publisher = policy().token_keys
        token_keys = publisher.path if publisher else ""

        def note(request: Message, context: Any) -> None:
            if self.interceptors:
                return  # behind a pipeline, a cached method's handler has no caller to tell of
            metadata = dict(context.invocation_metadata())
            if metadata.get("x-correlation-id") == CORRELATION:
                self.key_fetches += 1  # by the edge for itself: no client asked
            else:
                self.calls.append(Call(path, request, metadata, context.time_remaining()))

        async def unary(request: Message, context: Any) -> Message:
            note(request, context)
            if path not in self.answers:
                if self.keys and path == token_keys:
                    return json_format.ParseDict(dict(await self.keys.key_set()), response_class())
                return response_class()
            answer = self.answers[path](request, context)
            assert inspect.isawaitable(answer)
            return await answer

        async def stream(request: Message, context: Any) -> AsyncIterator[Message]:
            note(request, context)
            if path in self.answers:
                answer = self.answers[path](request, context)
                assert not inspect.isawaitable(answer)
                async for each in answer:
                    yield each

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(
                stream,
                request_deserializer=request_class.FromString,
                response_serializer=response_class.SerializeToString,
            )
        return grpc.unary_unary_rpc_method_handler(
            unary,
            request_deserializer=request_class.FromString,
            response_serializer=response_class.SerializeToString,
        )


def answering(answer: Message) -> Answer:
    """Always the same answer."""

    async def give(_: Any, __: Any) -> Message:
        return answer

    return give


def failing(code: int, text: str, *details: Message) -> Answer:
    """Always an error, with details."""
    status = status_pb2.Status(code=code, message=text)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)

    async def fail(_: Any, context: Any) -> Message:
        await context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort raises")

    return fail
