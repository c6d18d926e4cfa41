"""What the stages of the pipeline hand to each other: one object a call."""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from opentelemetry.trace import INVALID_SPAN, Span

from mesh import ids
from mesh.call import Call
from mesh.errors import MeshError
from mesh.peers import Peers
from mesh.policy import MethodPolicy
from mesh.settings import TRUST_DOMAIN

_SAFE_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_SPIFFE: Final = re.compile(rf"spiffe://{re.escape(TRUST_DOMAIN)}/(?P<workload>[a-z][a-z0-9-]*)")


@dataclass(slots=True)
class Exchange:
    """One call on its way through the stages, and what became of it."""

    policy: MethodPolicy
    request: Any
    """The decoded request, or an iterator of requests."""
    context: Any
    """grpc.aio.ServicerContext. Not typed so: the published stubs miss that time_remaining() and code() may be None."""
    metadata: Mapping[str, str]
    """Text metadata; of a repeated key all values, joined by commas. Binary keys (`-bin`) are not to be read here."""
    call: Call
    code: grpc.StatusCode = field(default=grpc.StatusCode.OK)
    reason: str = ""
    """Reason of the error, where one was sent."""
    bad_token: MeshError | None = None
    """What is wrong with the access token that came, where it does not hold."""
    span: Span = INVALID_SPAN
    """The span of this call; it may be one that is not recorded."""


Next = Callable[[Exchange], Awaitable[Any]]
"""The rest of the pipeline: answers with the response message, or its bytes, or None after a stream.

A step that has nothing to do after the rest is a plain function that hands on what the rest gives: a coroutine of its
own would only be one more to go through.
"""

Stage = Callable[[MethodPolicy, Next], Next]
"""Builds one step of one method's pipeline around the rest. Called once a method."""

Metadata = Sequence[tuple[str, str | bytes]]
"""Metadata as gRPC hands it over."""

Identify = Callable[[Any, Mapping[str, str]], str | None]
"""Tells which workload calls, from a call's context and metadata; None if it is not known."""


def peer_workload() -> Identify:
    """Gives what tells the pipeline of a server who calls: the workload that the client certificate names, if any."""
    peers = Peers(_workload)
    return lambda context, _: peers.of(context)


def _workload(spiffe_ids: Collection[bytes]) -> str | None:
    for spiffe_id in spiffe_ids:
        match = _SPIFFE.fullmatch(spiffe_id.decode())
        if match:
            return match["workload"]
    return None


def open_exchange(
    policy: MethodPolicy,
    request: Any,
    context: Any,
    identify: Identify,
    received: Metadata | None = None,
) -> Exchange:
    """Reads identity and ids of a call that has just arrived.

    Args:
        policy: What the contract says about the method.
        request: The decoded request, or an iterator of requests.
        context: grpc.aio.ServicerContext.
        identify: Tells which workload calls.
        received: The metadata where somebody has it already: the context makes it anew whenever it is asked.
    """
    received = received or context.invocation_metadata() or ()
    metadata: dict[str, Any] = dict(received)
    if len(metadata) != len(received):
        metadata = _joined(received)
    given = metadata.get("x-request-id")
    request_id = (given and _safe(given)) or ids.request_id()
    given = metadata.get("x-correlation-id")
    correlation_id = (given and _safe(given)) or request_id
    call = Call(policy, request_id, correlation_id, identify(context, metadata))
    return Exchange(policy, request, context, metadata, call)


def _joined(received: Metadata) -> dict[str, str]:
    joined: dict[str, str] = {}
    for key, value in received:
        if isinstance(value, str):
            joined[key] = f"{joined[key]},{value}" if key in joined else value
    return joined


def _safe(value: str) -> str | None:
    """An id as it came if it is short and harmless, else None: it goes into logs and headers."""
    return value if _SAFE_ID.fullmatch(value) else None


def as_bytes(response: Message | bytes) -> bytes:
    """A response as it goes out; one that was kept is bytes already. Deterministic: a repeat gets the same ones."""
    return response if isinstance(response, bytes) else response.SerializeToString(deterministic=True)
