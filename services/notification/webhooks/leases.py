"""Who sends which delivery, and when. Times are the database's, so that no process's clock decides.

`next_at` of a delivery is when it is due, and a lease at the same time: whoever takes it pushes it into the future;
when that process dies, it is due again by itself. `next_at` of a webhook keeps back all that waits for one that is
failing: one delivery at a time finds out whether it is well again, and the others neither knock nor age meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data import Transaction
from services.notification.webhooks.domain import KEPT

_TAKE: Final = text(
    """
    WITH due AS (
        SELECT mine.id, webhook.id AS webhook_id, webhook.url, webhook.failures
        FROM webhook CROSS JOIN LATERAL (
            SELECT id FROM webhook_delivery
            WHERE webhook_id = webhook.id AND state = 'WAITING' AND next_at <= clock_timestamp()
            ORDER BY next_at, id
            LIMIT CASE WHEN webhook.failures > 0 THEN 1 ELSE :each END
            FOR UPDATE SKIP LOCKED
        ) AS mine
        WHERE webhook.disable_reason IS NULL AND webhook.next_at <= clock_timestamp()
            AND webhook.id <> ALL (CAST(:busy AS uuid[]))
        ORDER BY webhook.next_at
        LIMIT :most
        FOR NO KEY UPDATE OF webhook SKIP LOCKED
    ), probing AS (
        UPDATE webhook SET next_at = clock_timestamp() + :lease
        WHERE failures > 0 AND id IN (SELECT webhook_id FROM due)
    )
    UPDATE webhook_delivery AS delivery SET
        attempts = attempts + 1,
        attempt_time = clock_timestamp(),
        next_at = clock_timestamp() + :lease,
        give_up_at = coalesce(give_up_at, clock_timestamp() + :patience)
    FROM due WHERE delivery.id = due.id
    RETURNING delivery.id, delivery.webhook_id, due.url, delivery.event_id, delivery.body, delivery.attempts,
        delivery.failures, due.failures AS webhook_failures
    """
)

_SECRETS: Final = text(
    """
    SELECT webhook_id, sealed FROM webhook_secret
    WHERE webhook_id = ANY (CAST(:webhook_ids AS uuid[])) AND (expire_time IS NULL OR expire_time > clock_timestamp())
    ORDER BY create_time DESC
    """
)

_WELL: Final = text(
    """
    UPDATE webhook SET failures = 0, failing_since = NULL, next_at = clock_timestamp()
    WHERE id = :webhook_id AND (failures > 0 OR failing_since IS NOT NULL)
    """
)

# Whoever sent it: a process whose lease was over has delivered it all the same.
_DELIVERED: Final = text(
    """
    UPDATE webhook_delivery SET state = 'DELIVERED', deliver_time = clock_timestamp(), response_status = :status,
        error = NULL, failures = 0
    WHERE id = :id
    """
)

_FAILING: Final = text(
    """
    UPDATE webhook SET
        failures = failures + 1,
        failing_since = coalesce(failing_since, clock_timestamp()),
        next_at = clock_timestamp() + :pause
    WHERE id = :webhook_id
    RETURNING disable_reason, failing_since <= clock_timestamp() - :patience AS is_dead
    """
)

_DISABLE: Final = text(
    """
    UPDATE webhook SET disable_reason = :reason, disable_time = clock_timestamp(), update_time = clock_timestamp(),
        version = version + 1
    WHERE id = :webhook_id AND disable_reason IS NULL
    """
)

# Only the attempt that is the last one: another process may have taken it since, or a person asked for it again. What
# waits for a webhook that is disabled waits on.
_FAILED: Final = text(
    """
    UPDATE webhook_delivery SET
        response_status = :status, error = :error, failures = failures + 1, next_at = clock_timestamp() + :pause,
        state = CASE WHEN give_up_at <= clock_timestamp() AND :may_end THEN 'FAILED' ELSE 'WAITING' END
    WHERE id = :id AND attempts = :attempts AND state = 'WAITING'
    RETURNING state
    """
)

_FORGET: Final = (
    text(
        """
        DELETE FROM webhook_delivery WHERE id IN (
            SELECT id FROM webhook_delivery WHERE create_time < clock_timestamp() - CAST(:kept AS interval) LIMIT 5000
        )
        """
    ),
    text("DELETE FROM webhook_secret WHERE expire_time < clock_timestamp() - CAST(:kept AS interval)"),
)

_BACKLOG: Final = text(
    """
    SELECT count(*) AS waiting, count(*) FILTER (
        WHERE webhook.disable_reason IS NULL AND greatest(webhook.next_at, delivery.next_at) <= clock_timestamp()
    ) AS due
    FROM webhook_delivery AS delivery JOIN webhook ON webhook.id = delivery.webhook_id
    WHERE delivery.state = 'WAITING'
    """
)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A delivery that is this process's to send for a while."""

    id: str
    webhook_id: str
    url: str = field(repr=False)
    event_id: str
    body: str = field(repr=False)
    attempts: int
    """This one included."""
    failures: int
    """How often it was sent in vain since it was made or asked for again."""
    webhook_failures: int
    """How often in a row sending anything to that webhook was in vain."""


@dataclass(frozen=True)
class Backlog:
    """Deliveries that are not out yet."""

    waiting: int
    due: int
    """Of them, those that should be sent now."""


async def take_due(
    tx: Transaction, *, most: int, each: int, busy: Sequence[str], lease: timedelta, patience: timedelta
) -> Sequence[Taken]:
    """Takes deliveries that are due, and skips those that another process is taking.

    Args:
        tx: The transaction.
        most: How many in all.
        each: How many for one webhook; for one that is failing, one.
        busy: Webhooks for which enough are on their way.
        lease: How long nobody else takes them.
        patience: How long a delivery is tried from its first attempt on.
    """
    rows = await tx.execute(
        _TAKE, {"most": most, "each": each, "busy": list(busy), "lease": lease, "patience": patience}
    )
    return [
        Taken(
            id=str(row.id),
            webhook_id=str(row.webhook_id),
            url=row.url,
            event_id=str(row.event_id),
            body=row.body,
            attempts=row.attempts,
            failures=row.failures,
            webhook_failures=row.webhook_failures,
        )
        for row in rows
    ]


async def valid_secrets(tx: Transaction, webhook_ids: Sequence[str]) -> Mapping[str, Sequence[bytes]]:
    """The sealed secrets of webhooks that are valid now, newest first."""
    found: dict[str, list[bytes]] = {}
    for row in await tx.execute(_SECRETS, {"webhook_ids": list(webhook_ids)}):
        found.setdefault(str(row.webhook_id), []).append(bytes(row.sealed))
    return found


async def delivered(tx: Transaction, taken: Taken, *, status: int | None) -> None:
    """Notes that a delivery has arrived, and that its webhook is well."""
    await tx.execute(_WELL, {"webhook_id": taken.webhook_id})
    await tx.execute(_DELIVERED, {"id": taken.id, "status": status})


@dataclass(frozen=True)
class Consequence:
    """What a failed attempt led to."""

    given_up: bool
    """The delivery is not tried again by itself."""
    disabled: str | None
    """Why its webhook was disabled, where this attempt was what did it."""


async def failed(
    tx: Transaction,
    taken: Taken,
    *,
    status: int | None,
    error: str,
    gone: bool,
    pause: timedelta,
    probe: timedelta,
    patience: timedelta,
) -> Consequence:
    """Notes that an attempt was in vain, and what follows for the delivery and for its webhook.

    Args:
        tx: The transaction.
        taken: What was sent.
        status: What was answered, where something was.
        error: Why it failed.
        gone: Whether the receiver wants no more.
        pause: Until the delivery is sent again.
        probe: Until anything is sent to its webhook again.
        patience: After how long without any success a webhook is disabled.
    """
    row = (
        await tx.execute(_FAILING, {"webhook_id": taken.webhook_id, "pause": probe, "patience": patience})
    ).one_or_none()
    if row is None:  # it was deleted, and its deliveries with it
        return Consequence(given_up=False, disabled=None)
    reason = None
    if row.disable_reason is None and (gone or row.is_dead):
        reason = "GONE" if gone else "FAILING"
        await tx.execute(_DISABLE, {"webhook_id": taken.webhook_id, "reason": reason})
    values = {
        "id": taken.id,
        "attempts": taken.attempts,
        "status": status,
        "error": error,
        "pause": pause,
        "may_end": reason is None and row.disable_reason is None,
    }
    state = (await tx.execute(_FAILED, values)).scalar_one_or_none()
    return Consequence(given_up=state == "FAILED", disabled=reason)


async def forget_old(tx: Transaction) -> None:
    """Deletes deliveries, and secrets that hold no more, whose time is over; some thousand at a time."""
    for statement in _FORGET:
        await tx.execute(statement, {"kept": KEPT})


async def backlog(connection: AsyncConnection) -> Backlog:
    """How many deliveries wait."""
    row = (await connection.execute(_BACKLOG)).one()
    return Backlog(row.waiting, row.due)
