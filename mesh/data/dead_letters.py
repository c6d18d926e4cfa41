"""Deliveries that fail: counted, and after some tries set aside with the reason, so that the others flow on.

A person brings a dead letter back: it is asked for again, which sets its tries to none, and the service's own retries
(mesh/bus/retries.py) hand it to its handler. If that works the row is gone; if not it is dead as before, with what was
wrong this time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data.transaction import Transaction

TRIES: Final = 5
"""How often an event is tried."""

LONGEST_REASON: Final = 2000

_FAILED: Final = text(
    """
    INSERT INTO dead_letter AS letter (consumer, event_id, subject, headers, payload, reason, tries, dead_at)
    VALUES (
        :consumer, :event_id, :subject, CAST(:headers AS jsonb), :payload, :reason, 1,
        CASE WHEN :limit <= 1 THEN clock_timestamp() END
    )
    ON CONFLICT (consumer, event_id) DO UPDATE SET
        tries = letter.tries + 1,
        reason = excluded.reason,
        last_failed_at = excluded.last_failed_at,
        dead_at = CASE WHEN letter.tries + 1 >= :limit THEN coalesce(letter.dead_at, clock_timestamp()) END
    RETURNING tries, dead_at IS NOT NULL AS dead
    """
)

_DEAD: Final = text(
    """
    SELECT consumer, event_id, subject, reason, tries, first_failed_at, dead_at
    FROM dead_letter WHERE dead_at IS NOT NULL ORDER BY dead_at, event_id
    """
)

_ASK_AGAIN: Final = text(
    """
    UPDATE dead_letter SET tries = 0
    WHERE dead_at IS NOT NULL AND (CAST(:event_ids AS text[]) IS NULL OR event_id = ANY(CAST(:event_ids AS text[])))
    RETURNING event_id
    """
)

_ASKED: Final = text(
    """
    SELECT event_id, subject, headers, payload FROM dead_letter
    WHERE consumer = :consumer AND dead_at IS NOT NULL AND tries = 0
    ORDER BY first_failed_at, event_id LIMIT :most
    """
)

# Waits for no other process of the workload that is at it already.
_LOCK: Final = text(
    """
    SELECT event_id FROM dead_letter
    WHERE consumer = :consumer AND event_id = :event_id AND dead_at IS NOT NULL AND tries = 0
    FOR UPDATE SKIP LOCKED
    """
)

_REMOVE: Final = text("DELETE FROM dead_letter WHERE consumer = :consumer AND event_id = :event_id")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that was given up."""

    consumer: str
    event_id: str
    """The event's id, or stream and sequence where the message has none."""
    subject: str
    reason: str
    tries: int
    """0: it was asked for again, and nobody has tried it yet."""
    first_failed_at: datetime
    dead_at: datetime


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A delivery as it is set aside: enough to handle it again without the broker."""

    consumer: str
    event_id: str
    """The event's id, or stream and sequence where the message has none."""
    subject: str
    headers: Mapping[str, str]
    payload: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a failed delivery."""

    tries: int
    dead: bool
    """Given up: only a person brings it back."""


async def record(tx: Transaction, failed: FailedDelivery, *, tries: int = TRIES) -> Verdict:
    """Counts a failure; the last try makes it a dead letter.

    Args:
        tx: A transaction of its own: that of the effect was rolled back.
        failed: What failed, and why.
        tries: How many it gets; 1 gives it up at once.
    """
    values = {
        "consumer": failed.consumer,
        "event_id": failed.event_id,
        "subject": failed.subject,
        "headers": json.dumps(dict(failed.headers)),
        "payload": failed.payload,
        "reason": failed.reason[:LONGEST_REASON],
        "limit": tries,
    }
    row = (await tx.execute(_FAILED, values)).one()
    return Verdict(row.tries, row.dead)


async def dead(connection: AsyncConnection) -> Sequence[DeadLetter]:
    """What was given up here, the oldest first."""
    return [DeadLetter(**row) for row in (await connection.execute(_DEAD)).mappings()]


async def ask_again(tx: Transaction, event_ids: Sequence[str] | None) -> Sequence[str]:
    """Asks for dead letters to be tried once more: those of these ids, or all of them.

    Returns:
        The ids of those that will be.
    """
    rows = await tx.execute(_ASK_AGAIN, {"event_ids": None if event_ids is None else list(event_ids)})
    return [row.event_id for row in rows]


async def asked(connection: AsyncConnection, consumer: str, *, most: int) -> Sequence[FailedDelivery]:
    """The dead letters that were asked for again, the oldest first."""
    rows = await connection.execute(_ASKED, {"consumer": consumer, "most": most})
    return [
        FailedDelivery(consumer, row.event_id, row.subject, row.headers, bytes(row.payload), reason="") for row in rows
    ]


async def take(tx: Transaction, letter: FailedDelivery) -> bool:
    """Takes a letter that was asked for out of the table; False where another process is at it, or was."""
    key = {"consumer": letter.consumer, "event_id": letter.event_id}
    if (await tx.execute(_LOCK, key)).first() is None:
        return False
    await tx.execute(_REMOVE, key)
    return True
