"""Deliveries that fail: counted, and after some tries set aside with the reason, so that the others flow on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

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
