"""Two ways into the shop, both out of the contract: REST by its rules, and native gRPC. A journey is written once."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import grpc
import httpx
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # noqa: F401 - the details must be known to be shown

from mesh.errors import STATUS_DETAILS_KEY
from mesh.policy import MethodPolicy, Policy, load_policy

Json = dict[str, Any]

_PATIENCE = 60

HTTP_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""google.rpc.Code's canonical mapping."""


class Refused(Exception):
    """An error as a client sees it."""

    def __init__(self, code: grpc.StatusCode, message: str, details: list[Json]) -> None:
        super().__init__(f"{code.name}: {message} {details}")
        self.code = code
        self.message = message
        self.details = {each["@type"].rpartition(".")[2]: each for each in details}

    @property
    def reason(self) -> str:
        """The reason of its ErrorInfo."""
        return str(self.details.get("ErrorInfo", {}).get("reason", ""))

    @property
    def retry_delay(self) -> float:
        """Seconds after which it may be tried again, as its RetryInfo says."""
        return float(self.details["RetryInfo"]["retryDelay"].removesuffix("s"))

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata of its ErrorInfo."""
        return dict(self.details.get("ErrorInfo", {}).get("metadata", {}))


@dataclass(frozen=True)
class Answer:
    """What the shop answered."""

    body: Json
    raw: bytes
    headers: Mapping[str, str]


class Transport(Protocol):
    """A way to call a method of the contract."""

    name: str

    async def call(self, method: MethodPolicy, request: Json, headers: Mapping[str, str]) -> Answer:
        """Calls; raises Refused."""

    def stream(self, method: MethodPolicy, request: Json, headers: Mapping[str, str]) -> "AsyncIterator[Json]":
        """Opens a server stream; raises Refused when it is read."""

    async def close(self) -> None:
        """Ends the connections."""


class Rest:
    """REST over HTTP, as the contract's rules say."""

    name = "REST"

    def __init__(self, address: str) -> None:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        self._client = httpx.AsyncClient(base_url=f"http://{address}", timeout=30, limits=limits)

    async def call(self, method: MethodPolicy, request: Json, headers: Mapping[str, str]) -> Answer:
        response = await self._client.send(self._request(method, request, headers))
        _raise_for_status(response.status_code, response.content)
        return Answer(response.json(), response.content, response.headers)

    async def stream(self, method: MethodPolicy, request: Json, headers: Mapping[str, str]) -> AsyncIterator[Json]:
        sent = self._request(method, request, headers)
        sent.extensions["timeout"] = {"connect": 5, "read": 60, "write": 5, "pool": 5}
        response = await self._client.send(sent, stream=True)
        try:
            if response.status_code != 200:
                _raise_for_status(response.status_code, await response.aread())
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])
        finally:
            await response.aclose()

    async def close(self) -> None:
        await self._client.aclose()

    def _request(self, method: MethodPolicy, request: Json, headers: Mapping[str, str]) -> httpx.Request:
        route = method.routes[0]
        left = json.loads(json.dumps(request))

        def take(match: re.Match[str]) -> str:
            *parents, leaf = [_camel(name) for name in match[1].split(".")]
            holder = left
            for parent in parents:
                holder = holder[parent]
            return str(holder.pop(leaf))

        path = re.sub(r"\{([^}=]+)(?:=[^}]*)?\}", take, route.path)
        body: Any = None
        if route.body == "*":
            body, left = left, {}
        elif route.body:
            body = left.pop(_camel(route.body), {})
        query = {name: value for name, value in left.items() if value is not None}
        return self._client.build_request(route.verb, path, params=query, json=body, headers=dict(headers))


class Native:
    """Native gRPC without TLS, as `grpcurl -plaintext` does it."""

    name = "gRPC"

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))

    async def call(self, method: MethodPolicy, request: Json, headers: Mapping[str, str]) -> Answer:
        call = self._channel.unary_unary(
            method.path, request_serializer=_serialize, response_deserializer=lambda raw: raw
        )(_message(method.request_type, request), timeout=30, metadata=tuple(headers.items()))
        try:
            raw = await call
        except grpc.aio.AioRpcError as error:
            raise refusal_of(error) from None
        answer = _class(method.response_type).FromString(raw)
        initial = {key: value for key, value in await call.initial_metadata() if isinstance(value, str)}
        return Answer(_json(answer), raw, initial)

    async def stream(self, method: MethodPolicy, request: Json, headers: Mapping[str, str]) -> AsyncIterator[Json]:
        call = self._channel.unary_stream(
            method.path, request_serializer=_serialize, response_deserializer=_class(method.response_type).FromString
        )(_message(method.request_type, request), metadata=tuple(headers.items()))
        try:
            async for message in call:
                yield _json(message)
        except grpc.aio.AioRpcError as error:
            raise refusal_of(error) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        await self._channel.close()


@dataclass
class Client:
    """Somebody at the shop's door: perhaps with a token, over one of the transports."""

    transport: Transport
    token: str | None = None
    policy: Policy = field(default_factory=load_policy)

    def with_token(self, token: str | None) -> "Client":
        """The same door, as somebody else."""
        return Client(self.transport, token, self.policy)

    async def call(self, method: str, request: Json | None = None, /, *, headers: Json | None = None) -> Json:
        """Calls `Service.Method` and returns the answer's JSON. Raises Refused."""
        return (await self.answer(method, request, headers=headers)).body

    async def answer(self, method: str, request: Json | None = None, /, *, headers: Json | None = None) -> Answer:
        """As `call`, with the bytes and headers of the answer. Waits where a limit, or a shop that is full, says so."""
        found, sent = self._find(method), self._headers(headers)
        for _ in range(_PATIENCE):
            try:
                return await self.transport.call(found, request or {}, sent)
            except Refused as refused:
                if refused.reason not in {"RATE_LIMITED", "OVERLOADED"}:
                    raise
                await asyncio.sleep(refused.retry_delay)
        raise AssertionError(f"{method}: it was not let in in {_PATIENCE} tries")

    @asynccontextmanager
    async def watch(self, method: str, request: Json | None = None) -> AsyncIterator[AsyncIterator[Json]]:
        """Opens a watch for the time of the block."""
        stream = self.transport.stream(self._find(method), request or {}, self._headers(None))
        try:
            yield stream
        finally:
            await stream.aclose()  # type: ignore[attr-defined]  # both transports make generators

    def _find(self, method: str) -> MethodPolicy:
        service, name = method.split(".")
        return next(
            each for each in self.policy.methods.values() if each.name == name and each.service.endswith(f".{service}")
        )

    def _headers(self, extra: Json | None) -> Mapping[str, str]:
        headers = dict(extra or {})
        if self.token is not None:
            headers.setdefault("authorization", f"Bearer {self.token}")
        return headers


def _raise_for_status(status: int, content: bytes) -> None:
    if status == 200:
        return
    body = json.loads(content)
    assert body.keys() == {"code", "message", "details"}, body
    code = next(each for each in grpc.StatusCode if each.value[0] == body["code"])
    assert HTTP_STATUS.get(code, 500) == status, f"HTTP {status} for {code.name}"
    raise Refused(code, body["message"], body["details"])


def refusal_of(error: grpc.aio.AioRpcError) -> Refused:
    """What a native client is told, details included."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            status = json_format.MessageToDict(status_pb2.Status.FromString(value))
            return Refused(error.code(), error.details() or "", status.get("details", []))
    return Refused(error.code(), error.details() or "", [])


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _class(full_name: str) -> type[Message]:
    package, _, _ = full_name.rpartition(".")
    area = package.split(".")[1]
    for module in (
        f"{area}_service_pb2",
        f"{area}_pb2",
        "auth_service_pb2",
        "webhook_service_pb2",
        "stock_pb2",
        "report_pb2",
    ):
        try:
            import_module(f"{package}.{module}")
        except ModuleNotFoundError:
            continue
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))


def _message(full_name: str, request: Json) -> Message:
    return json_format.ParseDict(request, _class(full_name)())


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _json(message: Message) -> Json:
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
