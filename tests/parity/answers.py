"""What a layer said: through, or refused with a code and a reason."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import grpc
import httpx
from google.rpc import code_pb2

from mesh.errors import from_rpc_error

_REFUSALS: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"})
_NOT_THEIRS: Final = ("NOT_FOUND", "RESOURCE_NOT_FOUND")
_PATIENCE: Final = 60
"""How often one question is asked again when a rate limit says wait."""


@dataclass(frozen=True)
class Answer:
    """Code and reason, by name; no code where the call got through."""

    code: str = ""
    reason: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the layer let the call pass: whatever else is wrong with it is not about who asks."""
        return not self.code


async def ask_grpc(call: Callable[[], Awaitable[bytes]]) -> Answer:
    """Put a question by gRPC; wait where the layer says that it was asked too often."""
    for _ in range(_PATIENCE):
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            if refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED and refusal.reason == "RATE_LIMITED":
                await asyncio.sleep(refusal.retry_after.total_seconds() if refusal.retry_after else 0.1)
                continue
            return _answer(refusal.code.name, refusal.reason)
        return Answer()
    raise AssertionError("a rate limit never let the question through")


async def ask_rest(ask: Callable[[], Awaitable[httpx.Response]]) -> Answer:
    """Put a question by REST; wait as Retry-After says."""
    for _ in range(_PATIENCE):
        response = await ask()
        if response.status_code == 429:
            await asyncio.sleep(float(response.headers["retry-after"]))
            continue
        if response.status_code < 400:
            return Answer()
        error = response.json()
        reasons = [detail["reason"] for detail in error["details"] if "reason" in detail]
        return _answer(code_pb2.Code.Name(error["code"]), reasons[0] if reasons else "")
    raise AssertionError("a rate limit never let the question through")


def _answer(code: str, reason: str) -> Answer:
    if code in _REFUSALS or (code, reason) == _NOT_THEIRS:
        return Answer(code, reason)
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN"):
        raise AssertionError(f"the layer could not answer: {code} {reason}")
    return Answer()
