"""First answers by key: a repeated call finds what the first one answered, byte for byte.

A claim is a row without an answer. It is inserted in the transaction of the effect, so it exists exactly if the effect
does. A claim that has an answer is final. One that has none belongs to a call that is running, until its lease is over;
then its process is taken for dead, and the next repeat takes the claim over and continues with the resource it names.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import Message
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.call import IdempotencyKey
from mesh.data.failures import Failure, classify
from mesh.errors import FieldViolation, InvalidArgument, MeshError, to_status

if TYPE_CHECKING:
    from mesh.data.database import Database

OK: Final[int] = grpc.StatusCode.OK.value[0]

NOT_DEFINITIVE: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
"""Errors that say nothing about the call itself: repeating it may well succeed, so they are never stored."""

_CLAIM: Final = text(
    """
    INSERT INTO idempotency (principal, method, key, request_hash, resource_id, lease_until)
    VALUES (:principal, :method, :key, :request_hash, CAST(:resource_id AS text), clock_timestamp() + :lease)
    ON CONFLICT (principal, method, key) DO UPDATE SET lease_until = excluded.lease_until
    WHERE idempotency.status IS NULL
      AND idempotency.lease_until < clock_timestamp()
      AND idempotency.request_hash = excluded.request_hash
      AND idempotency.resource_id IS NOT DISTINCT FROM excluded.resource_id
    RETURNING key
    """
)

_ANSWER: Final = text(
    """
    INSERT INTO idempotency AS stored
        (principal, method, key, request_hash, status, response, lease_until, answered_at)
    VALUES
        (:principal, :method, :key, :request_hash, :status, :response, clock_timestamp(), clock_timestamp())
    ON CONFLICT (principal, method, key) DO UPDATE SET
        status = coalesce(stored.status, excluded.status),
        response = CASE WHEN stored.status IS NULL THEN excluded.response ELSE stored.response END,
        answered_at = coalesce(stored.answered_at, excluded.answered_at)
    RETURNING request_hash, status, response
    """
)

_LOOKUP: Final = text(
    """
    SELECT request_hash, status, response, resource_id, lease_until - clock_timestamp() AS remaining
    FROM idempotency WHERE principal = :principal AND method = :method AND key = :key
    """
)


class KeyTaken(Exception):
    """Another call has claimed this key: look up its answer, or tell the caller that it is running."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The first answer given under a key."""

    status: int
    """gRPC status code; 0 is OK."""
    response: bytes
    """The serialized response message, or with another status the serialized google.rpc.Status."""

    @property
    def is_error(self) -> bool:
        """Whether the answer was an error."""
        return self.status != OK


@dataclass(frozen=True, slots=True)
class Running:
    """A claim without an answer."""

    retry_after: timedelta
    """How long the claim still counts as running. Zero: its process is taken for dead; call the handler to continue."""
    resource_id: str | None
    """What the first call was about to make; goes into `IdempotencyKey.resource_id` of the call that continues."""

    @property
    def is_abandoned(self) -> bool:
        """Whether the next call may take the claim over."""
        return not self.retry_after


async def lookup(database: "Database", key: IdempotencyKey) -> StoredAnswer | Running | None:
    """What is known under a key; None if it was never used.

    Raises:
        InvalidArgument: IDEMPOTENCY_KEY_REUSED: the key came with another request before.
        Unavailable: The database is not reachable.
    """
    async with database.reading() as connection:
        row = (await connection.execute(_LOOKUP, _name(key))).one_or_none()
    if row is None:
        return None
    _require_same_request(key, row.request_hash)
    if row.status is None:
        return Running(max(row.remaining, timedelta()), row.resource_id)
    return StoredAnswer(row.status, row.response)


async def claim(connection: AsyncConnection, key: IdempotencyKey, resource_id: str | None) -> None:
    """Claims a key within a transaction, waiting for another transaction that is just doing so.

    Raises:
        KeyTaken: Another call has it, answered or still running.
    """
    values = {**_name(key), "request_hash": key.request_hash, "resource_id": resource_id, "lease": key.lease}
    try:
        claimed = (await connection.execute(_CLAIM, values)).one_or_none()
    except Exception as error:
        if classify(error) is Failure.LOCKED:
            raise KeyTaken(key.key) from error
        raise
    if claimed is None:
        raise KeyTaken(key.key)


async def store(connection: AsyncConnection, key: IdempotencyKey, answer: StoredAnswer) -> StoredAnswer:
    """Stores an answer unless there is one, and returns the one that stands: the first wins.

    Raises:
        InvalidArgument: IDEMPOTENCY_KEY_REUSED.
    """
    values: dict[str, Any] = {
        **_name(key),
        "request_hash": key.request_hash,
        "status": answer.status,
        "response": answer.response,
    }
    row = (await connection.execute(_ANSWER, values)).one()
    _require_same_request(key, row.request_hash)
    return StoredAnswer(row.status, row.response)


def as_answer(answer: Message | MeshError, *, request_id: str) -> StoredAnswer:
    """An answer in the form it is stored in.

    Raises:
        ValueError: The error is none that a repeat would meet again, so it must not be stored.
    """
    if isinstance(answer, Message):
        return StoredAnswer(OK, answer.SerializeToString(deterministic=True))
    if not is_definitive(answer):
        raise ValueError(f"{answer.code.name} may be gone at the next try and is no answer to store") from answer
    return StoredAnswer(answer.code.value[0], to_status(answer, request_id=request_id).SerializeToString())


def is_definitive(error: MeshError) -> bool:
    """Whether a repeat of the call would meet the same error."""
    return error.code not in NOT_DEFINITIVE


def _name(key: IdempotencyKey) -> dict[str, str]:
    return {"principal": key.principal, "method": key.method, "key": key.key}


def _require_same_request(key: IdempotencyKey, request_hash: bytes) -> None:
    if bytes(request_hash) != key.request_hash:
        raise InvalidArgument(
            "IDEMPOTENCY_KEY_REUSED",
            "this idempotency key was used with another request",
            metadata={"key": key.key},
            field_violations=[FieldViolation("request_id", "was used with another request")],
        )
