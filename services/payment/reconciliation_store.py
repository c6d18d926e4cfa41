"""What reconciliation asks the database: attempts that are open, payments that moved, and discrepancies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data import Transaction
from services.payment.comparison import Contradiction, Kind
from services.payment.domain import Payment
from services.payment.store import Attempt, AttemptState, to_attempt, to_payment
from services.payment.tables import attempt, discrepancy, payment

_OPEN = attempt.c.state == AttemptState.STARTED.value


@dataclass(frozen=True, slots=True)
class Changes:
    """What a transaction changed in the list of discrepancies."""

    found: Sequence[Contradiction]
    resolved: Sequence[Kind]


async def with_open_attempts(connection: AsyncConnection, *, before: datetime) -> Sequence[str]:
    """Payments with an attempt that was begun before a time and left open, the oldest first."""
    begun = func.min(attempt.c.create_time)
    statement = select(attempt.c.payment_id).where(_OPEN, attempt.c.create_time < before).group_by(attempt.c.payment_id)
    return [str(row.payment_id) for row in await connection.execute(statement.order_by(begun))]


async def moved(connection: AsyncConnection, *, after: datetime, until: datetime) -> Sequence[str]:
    """Payments for which the provider was asked within a time: nothing else moves their money."""
    begun = attempt.c.create_time
    statement = select(attempt.c.payment_id).distinct().where(begun > after, begun <= until)
    return [str(row.payment_id) for row in await connection.execute(statement)]


async def in_discrepancy(connection: AsyncConnection) -> Sequence[str]:
    """Payments with a discrepancy that is not resolved."""
    statement = select(discrepancy.c.payment_id).distinct().where(discrepancy.c.resolved_at.is_(None))
    return [str(row.payment_id) for row in await connection.execute(statement)]


async def of_order(connection: AsyncConnection, *, order_id: str, provider: str) -> str | None:
    """The id of an order's payment with a provider."""
    statement = select(payment.c.id).where(payment.c.order_id == order_id, payment.c.provider == provider)
    found = (await connection.execute(statement)).scalar_one_or_none()
    return None if found is None else str(found)


async def read(connection: AsyncConnection, payment_id: str) -> tuple[Payment, Sequence[Attempt]]:
    """A payment, tombstones included, and its attempts that are open."""
    found = to_payment((await connection.execute(select(payment).where(payment.c.id == payment_id))).one())
    rows = await connection.execute(select(attempt).where(attempt.c.payment_id == payment_id, _OPEN))
    return found, [to_attempt(row, found) for row in rows]


async def at_rest(connection: AsyncConnection, payment_ids: Sequence[str]) -> Sequence[Payment]:
    """Those of these payments that have no attempt open and no discrepancy."""
    busy = select(attempt.c.payment_id).where(attempt.c.payment_id == payment.c.id, _OPEN)
    disputed = select(discrepancy.c.payment_id).where(
        discrepancy.c.payment_id == payment.c.id, discrepancy.c.resolved_at.is_(None)
    )
    statement = select(payment).where(payment.c.id.in_(payment_ids), ~busy.exists(), ~disputed.exists())
    return [to_payment(row) for row in await connection.execute(statement)]


async def is_unchanged(tx: Transaction, seen: Payment, attempts: Sequence[Attempt]) -> bool:
    """Whether a payment still stands as it was seen, with the same attempts open. Locks it."""
    version = await tx.execute(select(payment.c.version).where(payment.c.id == seen.id).with_for_update())
    if version.scalar_one() != seen.version:
        return False
    rows = await tx.execute(select(attempt.c.operation).where(attempt.c.payment_id == seen.id, _OPEN))
    return {row.operation for row in rows} == {each.operation for each in attempts}


async def write(tx: Transaction, payment_id: str, contradictions: Sequence[Contradiction]) -> Changes:
    """Notes what is contradicted now, and resolves what is not any more."""
    now = tx.clock()
    unresolved = discrepancy.c.resolved_at.is_(None)
    mine = (discrepancy.c.payment_id == payment_id, unresolved)
    known = {Kind(row.kind) for row in await tx.execute(select(discrepancy.c.kind).where(*mine))}
    for each in contradictions:
        statement = insert(discrepancy).values(
            payment_id=payment_id, kind=each.kind.value, ours=each.ours, theirs=each.theirs, found_at=now
        )
        await tx.execute(
            statement.on_conflict_do_update(
                index_elements=[discrepancy.c.payment_id, discrepancy.c.kind],
                index_where=unresolved,
                set_={"ours": statement.excluded.ours, "theirs": statement.excluded.theirs},
            )
        )
    gone = known - {each.kind for each in contradictions}
    if gone:
        ended = update(discrepancy).where(*mine, discrepancy.c.kind.in_([kind.value for kind in gone]))
        await tx.execute(ended.values(resolved_at=now))
    return Changes(
        [each for each in contradictions if each.kind not in known], sorted(gone, key=lambda kind: kind.value)
    )


async def count_unresolved(connection: AsyncConnection) -> int:
    """How many discrepancies there are now."""
    statement = select(func.count()).select_from(discrepancy).where(discrepancy.c.resolved_at.is_(None))
    return int((await connection.execute(statement)).scalar_one())
