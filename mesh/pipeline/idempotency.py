"""The stage that answers a repeated call with the first answer, byte for byte."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from google.protobuf.message import Message
from google.rpc import status_pb2

from mesh.call import IdempotencyKey, enter
from mesh.data.idempotency import KeyTaken, Running, StoredAnswer
from mesh.errors import Aborted, MeshError, from_status, invalid_field
from mesh.metrics import Metrics
from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.policy import Audience, MethodPolicy

HEADER: Final = "idempotency-key"
FIELD: Final = "request_id"
MAX_LENGTH: Final = 128

RETRY_RUNNING: Final = timedelta(milliseconds=200)
"""When to ask again for the answer of a call that is still running."""

LookUp = Callable[[IdempotencyKey], Awaitable[StoredAnswer | Running | None]]


class StoredError(MeshError):
    """The first answer was an error: it goes out again with the very bytes it had."""

    def __init__(self, status: bytes) -> None:
        first = from_status(status_pb2.Status.FromString(status))
        super().__init__(first.reason, first.message)
        self.code = first.code
        self.status = status


def idempotency_stage(look_up: LookUp, metrics: Metrics) -> Stage:
    """Gives a keyed call its key, and a repeat its answer.

    Looked up after authorization and under the principal, so that nobody finds another's answers. An outside caller may
    go without a key; then each call stands for itself. Inside the mesh a key is required: there, every caller retries.
    """

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        lease = policy.deadline
        required = policy.audience is Audience.NONE

        async def once(exchange: Exchange) -> Any:
            chosen = _chosen_key(exchange, required=required)
            if chosen is None:
                return await proceed(exchange)
            key = IdempotencyKey(
                principal=exchange.call.principal,
                method=policy.path,
                key=chosen,
                request_hash=_hash(exchange.request),
                lease=lease,
            )
            known = await look_up(key)
            if isinstance(known, Running) and known.is_abandoned:
                key = replace(key, resource_id=known.resource_id)
            elif known is not None:
                return replay(known, key)
            exchange.call = replace(exchange.call, key=key)
            enter(exchange.call)
            try:
                return await proceed(exchange)
            except KeyTaken:
                # Somebody with the same key was faster by a moment: theirs is the first answer.
                return replay(await look_up(key), key)

        def replay(known: StoredAnswer | Running | None, key: IdempotencyKey) -> bytes:
            if not isinstance(known, StoredAnswer):
                raise Aborted(
                    "IDEMPOTENT_CALL_RUNNING",
                    "the first call with this idempotency key is still running",
                    metadata={"key": key.key},
                    retry_after=RETRY_RUNNING,
                )
            metrics.replays.labels(policy.path.lstrip("/")).inc()
            if known.is_error:
                raise StoredError(known.response)
            return known.response

        return once

    return stage


def _chosen_key(exchange: Exchange, *, required: bool) -> str | None:
    header = exchange.metadata.get(HEADER, "")
    field = getattr(exchange.request, FIELD, "")
    if header and field and header != field:
        raise invalid_field(FIELD, f"must be the same as the metadata {HEADER}, where both are given")
    chosen: str = header or field
    if required and not chosen:
        raise invalid_field(HEADER, "is required in the metadata of this call")
    if len(chosen) > MAX_LENGTH or not chosen.isprintable():
        raise invalid_field(HEADER if header else FIELD, f"must be at most {MAX_LENGTH} printable characters")
    return chosen or None


def _hash(request: Message) -> bytes:
    """A digest of what is asked for, without the key itself: the key may come by header once and by field again."""
    bare = type(request)()
    bare.CopyFrom(request)
    if FIELD in request.DESCRIPTOR.fields_by_name:
        bare.ClearField(FIELD)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()
