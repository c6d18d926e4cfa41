"""Who drives which order, and when: the rows of `saga`. Times are the database's, so that no process's clock decides.

A row says that something is to be done. `next_at` is when it is due, and a lease at the same time: whoever drives an
order pushes it into the future and keeps pushing; when that process dies, the order is due again by itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data import Transaction

_FOLLOW: Final = text(
    """
    INSERT INTO saga (order_id, step, next_at, correlation_id, payment_token)
    VALUES (:order_id, :step, clock_timestamp() + :lease, :correlation_id, :card)
    ON CONFLICT (order_id) DO UPDATE SET
        step = excluded.step, next_at = excluded.next_at, attempts = 0, error = NULL, set_aside = false,
        payment_token = CASE WHEN :needs_card THEN saga.payment_token END
    """
)

_FINISH: Final = text("DELETE FROM saga WHERE order_id = :order_id")

_TAKE_DUE: Final = text(
    """
    UPDATE saga SET next_at = clock_timestamp() + :lease
    FROM (
        SELECT order_id FROM saga WHERE next_at <= clock_timestamp()
        ORDER BY next_at LIMIT :most FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE saga.order_id = due.order_id
    RETURNING saga.order_id, saga.step, saga.correlation_id, saga.attempts, saga.payment_token,
        saga.started_at + :patience <= clock_timestamp() AS overdue
    """
)

# Never brings a row forward: what has been put off in the meantime stays put off.
_RENEW: Final = text(
    """
    UPDATE saga SET next_at = greatest(next_at, clock_timestamp() + :lease)
    WHERE order_id = ANY(CAST(:order_ids AS uuid[]))
    """
)

# Only where the order still waits at that step: another process may have gone on in the meantime.
_BACK_OFF: Final = text(
    """
    UPDATE saga SET next_at = clock_timestamp() + :pause, attempts = attempts + 1, error = :error, set_aside = false
    WHERE order_id = :order_id AND step = :step
    """
)

_SET_ASIDE: Final = text(
    """
    UPDATE saga SET next_at = clock_timestamp() + :pause, attempts = attempts + 1, error = :error, set_aside = true
    WHERE order_id = :order_id AND step = :step
    """
)

_UNDER_WAY: Final = text(
    """
    SELECT split_part(step, ':', 1) AS step, count(*) AS orders, count(*) FILTER (WHERE set_aside) AS set_aside,
        extract(epoch FROM clock_timestamp() - min(started_at)) AS age
    FROM saga GROUP BY 1
    """
)


@dataclass(frozen=True, slots=True)
class Lease:
    """An order that is this process's to drive for a while."""

    order_id: str
    step: str
    correlation_id: str = ""
    """Of the call that set it going."""
    attempts: int = 0
    """How often the present step was asked in vain."""
    card: str | None = field(default=None, repr=False)
    """The token that stands for the buyer's card, while it is needed."""
    overdue: bool = False
    """Whether it has taken longer than anybody should wait before the capture."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The orders that wait at a step."""

    orders: int
    oldest: float
    """Seconds since the oldest of them was placed."""
    set_aside: int
    """How many of them nobody can read."""


async def follow(
    tx: Transaction,
    order_id: str,
    step: str,
    *,
    lease: timedelta,
    correlation_id: str,
    card: str | None,
    needs_card: bool,
) -> None:
    """Makes a step the next one of an order, leased to the caller. The card's token is erased once it is not needed."""
    await tx.execute(
        _FOLLOW,
        {
            "order_id": order_id,
            "step": step,
            "lease": lease,
            "correlation_id": correlation_id,
            "card": card if needs_card else None,
            "needs_card": needs_card,
        },
    )


async def finish(tx: Transaction, order_id: str) -> None:
    """Nothing is to be done for an order any more."""
    await tx.execute(_FINISH, {"order_id": order_id})


async def take_due(tx: Transaction, *, most: int, lease: timedelta, patience: timedelta) -> Sequence[Lease]:
    """Leases the orders that are due, the longest due first, and skips those that another process is taking."""
    rows = await tx.execute(_TAKE_DUE, {"most": most, "lease": lease, "patience": patience})
    return [
        Lease(str(row.order_id), row.step, row.correlation_id, row.attempts, row.payment_token, row.overdue)
        for row in rows
    ]


async def renew(tx: Transaction, order_ids: Collection[str], *, lease: timedelta) -> None:
    """A sign of life for orders that this process drives."""
    await tx.execute(_RENEW, {"order_ids": sorted(order_ids), "lease": lease})


async def back_off(tx: Transaction, order_id: str, step: str, *, pause: timedelta, error: str) -> None:
    """Puts a step off, and notes why."""
    await tx.execute(_BACK_OFF, {"order_id": order_id, "step": step, "pause": pause, "error": error})


async def set_aside(tx: Transaction, order_id: str, step: str, *, pause: timedelta, error: str) -> None:
    """Puts an order aside that this process cannot read, and notes why.

    It is due again after the pause: by then there may be a process that can.
    """
    await tx.execute(_SET_ASIDE, {"order_id": order_id, "step": step, "pause": pause, "error": error})


async def under_way(connection: AsyncConnection) -> dict[str, Waiting]:
    """The orders that wait at each kind of step."""
    rows = await connection.execute(_UNDER_WAY)
    return {row.step: Waiting(row.orders, float(row.age), row.set_aside) for row in rows}
