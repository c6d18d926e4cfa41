"""What payment asks its database, in the words of the domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data import Transaction
from mesh.money import Money
from services.payment.domain import Payment, State
from services.payment.tables import attempt, payment, webhook_event


class AttemptState(Enum):
    """What became of a request to the provider."""

    STARTED = "STARTED"
    """It may or may not have had its effect."""
    DONE = "DONE"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to the provider, committed before it is made."""

    payment_id: str
    operation: str
    """`authorize`, `capture`, `void` or `refund:<key>`."""
    key: str
    """The provider's idempotency key."""
    amount: Money
    state: AttemptState
    reason: str
    """Why money is given back; empty for the rest."""

    @property
    def kind(self) -> str:
        """The operation without the key by which refunds differ."""
        return self.operation.partition(":")[0]


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """Part of a list."""

    payments: Sequence[Payment]
    total: int


async def find_payment(connection: AsyncConnection, payment_id: str) -> Payment | None:
    """The payment of that id, tombstones aside."""
    found = await connection.execute(_visible().where(payment.c.id == payment_id))
    row = found.one_or_none()
    return None if row is None else to_payment(row)


async def list_payments(
    connection: AsyncConnection, *, state: State | None, order_id: str, before: str | None, size: int
) -> PaymentPage:
    """Payments by descending id below `before`, and how many there are in all."""
    conditions: list[ColumnElement[bool]] = [payment.c.user_id.is_not(None)]
    if state is not None:
        conditions.append(payment.c.state == state.value)
    if order_id:
        conditions.append(payment.c.order_id == order_id)
    total = (await connection.execute(select(func.count()).select_from(payment).where(*conditions))).scalar_one()
    if before is not None:
        conditions.append(payment.c.id < before)
    rows = await connection.execute(select(payment).where(*conditions).order_by(payment.c.id.desc()).limit(size))
    return PaymentPage([to_payment(row) for row in rows], total)


async def lock_of_order(tx: Transaction, order_id: str) -> Payment | None:
    """The payment of an order, locked until the transaction ends; tombstones included."""
    found = await tx.execute(select(payment).where(payment.c.order_id == order_id).with_for_update())
    row = found.one_or_none()
    return None if row is None else to_payment(row)


async def add(tx: Transaction, new: Payment) -> Payment:
    """Adds a payment and returns it, or the one that the order already has. Locked until the transaction ends."""
    statement = insert(payment).values(**_columns(new)).on_conflict_do_nothing(index_elements=[payment.c.order_id])
    await tx.execute(statement)
    found = await lock_of_order(tx, new.order_id)
    assert found is not None  # noqa: S101 - just inserted, or the reason why it was not
    return found


async def add_tombstone(tx: Transaction, *, payment_id: str, order_id: str, provider: str, now: datetime) -> Payment:
    """Sees to it that an order that has no payment gets none. Returns what the order has now, locked."""
    zero = Money.zero("XXX")
    tombstone = Payment(
        id=payment_id,
        order_id=order_id,
        user_id="",
        state=State.VOIDED,
        provider=provider,
        amount=zero,
        captured=zero,
        refunded=zero,
        decline_reason="",
        reference="",
        version=0,
        create_time=now,
        update_time=now,
    )
    return await add(tx, tombstone)


async def save(tx: Transaction, changed: Payment) -> None:
    """Writes a payment back that this transaction has locked."""
    await tx.execute(update(payment).where(payment.c.id == changed.id).values(**_columns(changed)))


async def begin_attempt(tx: Transaction, *, of: Payment, operation: str, amount: Money, reason: str = "") -> Attempt:
    """Notes that the provider will be asked; finds the note if it stands already."""
    key = f"{of.order_id}:{operation}"
    statement = insert(attempt).values(
        payment_id=of.id,
        operation=operation,
        key=key,
        amount=amount.minor,
        state=AttemptState.STARTED.value,
        reason=reason,
        create_time=tx.clock(),
    )
    await tx.execute(statement.on_conflict_do_nothing())
    found = await find_attempt(tx, of, operation)
    assert found is not None  # noqa: S101 - just inserted, or the reason why it was not
    return found


async def find_attempt(tx: Transaction, of: Payment, operation: str) -> Attempt | None:
    """The attempt of an operation, if it was begun."""
    statement = select(attempt).where(attempt.c.payment_id == of.id, attempt.c.operation == operation)
    row = (await tx.execute(statement)).one_or_none()
    return None if row is None else to_attempt(row, of)


async def end_attempt(tx: Transaction, ended: Attempt, state: AttemptState) -> None:
    """Notes what became of a request to the provider."""
    await tx.execute(
        update(attempt)
        .where(
            attempt.c.payment_id == ended.payment_id,
            attempt.c.operation == ended.operation,
            attempt.c.state != state.value,
        )
        .values(state=state.value, end_time=tx.clock())
    )


async def refunds_under_way(tx: Transaction, of: Payment) -> Money:
    """What refunds that were begun and are not known to have ended would give back."""
    statement = select(func.coalesce(func.sum(attempt.c.amount), 0)).where(
        attempt.c.payment_id == of.id,
        attempt.c.operation.startswith("refund:"),
        attempt.c.state == AttemptState.STARTED.value,
    )
    return Money(of.amount.currency, int((await tx.execute(statement)).scalar_one()))


async def take_report(tx: Transaction, *, provider: str, event_id: str, kind: str) -> bool:
    """Notes a provider's report; False if it was taken before."""
    statement = insert(webhook_event).values(provider=provider, event_id=event_id, type=kind, receive_time=tx.clock())
    noted = await tx.execute(statement.on_conflict_do_nothing().returning(webhook_event.c.event_id))
    return noted.first() is not None


async def was_taken(connection: AsyncConnection, *, provider: str, event_id: str) -> bool:
    """Whether a provider's report was taken before."""
    statement = select(webhook_event.c.event_id).where(
        webhook_event.c.provider == provider, webhook_event.c.event_id == event_id
    )
    return (await connection.execute(statement)).first() is not None


def to_attempt(row: Row[Any], of: Payment) -> Attempt:
    """A row of `attempt` as what it stands for."""
    amount = Money(of.amount.currency, row.amount)
    return Attempt(of.id, row.operation, row.key, amount, AttemptState(row.state), row.reason)


def _visible() -> Select[Any]:
    return select(payment).where(payment.c.user_id.is_not(None))


def to_payment(row: Row[Any]) -> Payment:
    """A row of `payment` as what it stands for."""
    return Payment(
        id=str(row.id),
        order_id=str(row.order_id),
        user_id="" if row.user_id is None else str(row.user_id),
        state=State(row.state),
        provider=row.provider,
        amount=Money(row.currency, row.amount),
        captured=Money(row.currency, row.captured),
        refunded=Money(row.currency, row.refunded),
        decline_reason=row.decline_reason,
        reference=row.reference,
        version=row.version,
        create_time=row.create_time,
        update_time=row.update_time,
    )


def _columns(of: Payment) -> dict[str, Any]:
    return {
        "id": of.id,
        "order_id": of.order_id,
        "user_id": of.user_id or None,
        "state": of.state.value,
        "provider": of.provider,
        "currency": of.amount.currency,
        "amount": of.amount.minor,
        "captured": of.captured.minor,
        "refunded": of.refunded.minor,
        "decline_reason": of.decline_reason,
        "reference": of.reference,
        "version": of.version,
        "create_time": of.create_time,
        "update_time": of.update_time,
    }
