"""The outbox: events are rows of the transaction that caused them, so they exist exactly if their effect does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from google.protobuf.message import Message
from opentelemetry import trace
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.call import find_call
from mesh.errors import Aborted
from mesh.ids import uuid7

LARGEST_EVENT: Final = 900_000
"""Bytes of payload at most: with its headers an event must fit into the broker's 1 MiB."""

# One statement for one event and for a thousand: arrays in, rows out, in the order they were published in.
_INSERT: Final = text(
    """
    INSERT INTO outbox (event_id, aggregate_id, version, type, payload, correlation_id, traceparent, time)
    SELECT event_id, aggregate_id, version, type, payload, correlation_id, traceparent, time
    FROM unnest(
        CAST(:event_ids AS uuid[]), CAST(:aggregate_ids AS text[]), CAST(:versions AS bigint[]), CAST(:types AS text[]),
        CAST(:payloads AS bytea[]), CAST(:correlation_ids AS text[]), CAST(:traceparents AS text[]),
        CAST(:times AS timestamptz[])
    ) WITH ORDINALITY AS event (
        event_id, aggregate_id, version, type, payload, correlation_id, traceparent, time, position
    )
    ORDER BY position
    """
)


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event as it stands in the outbox, with the context of the call that caused it."""

    event_id: str
    aggregate_id: str
    version: int
    type: str
    payload: bytes
    correlation_id: str
    traceparent: str
    time: datetime


def record(event: Message, *, aggregate_id: str, version: int, time: datetime) -> OutboxEvent:
    """Takes an event down, together with the correlation id and the trace of the running call.

    Raises:
        ValueError: The event is larger than LARGEST_EVENT, or the version is not positive.
    """
    payload = event.SerializeToString(deterministic=True)
    if len(payload) > LARGEST_EVENT:
        raise ValueError(
            f"{event.DESCRIPTOR.full_name} of {aggregate_id} has {len(payload)} bytes, too many to publish"
        )
    if version < 1:
        raise ValueError(f"{event.DESCRIPTOR.full_name} of {aggregate_id}: versions begin at 1, not {version}")
    call = find_call()
    event_id = uuid7()
    return OutboxEvent(
        event_id=event_id,
        aggregate_id=aggregate_id,
        version=version,
        type=event.DESCRIPTOR.full_name,
        payload=payload,
        # What nobody called for (a timer, a task at start) begins a correlation of its own.
        correlation_id=call.correlation_id if call else event_id,
        traceparent=_traceparent(),
        time=time,
    )


async def write(connection: AsyncConnection, events: Sequence[OutboxEvent]) -> None:
    """Inserts events in their order, in one round trip.

    Raises:
        Aborted: CONCURRENT_CHANGE: another transaction published the same version of an aggregate.
    """
    try:
        await connection.execute(
            _INSERT,
            {
                "event_ids": [event.event_id for event in events],
                "aggregate_ids": [event.aggregate_id for event in events],
                "versions": [event.version for event in events],
                "types": [event.type for event in events],
                "payloads": [event.payload for event in events],
                "correlation_ids": [event.correlation_id for event in events],
                "traceparents": [event.traceparent for event in events],
                "times": [event.time for event in events],
            },
        )
    except IntegrityError as error:
        raise Aborted("CONCURRENT_CHANGE", "the same thing was changed by somebody else") from error


def _traceparent() -> str:
    """The running span in W3C Trace Context form; empty outside of a trace."""
    span = trace.get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else ""
