"""The read side: each order as its buyer sees it, a function of its events and of nothing else.

`view_of` is that function. Live, it is written in the transaction that appends the events; a rebuild folds the history
again and writes the same rows, while the service goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, assert_never
from uuid import UUID

from sqlalchemy import RowMapping, case, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from mesh.data import Database, Transaction
from mesh.data.event_store import ConcurrencyConflict
from mesh.money import Money
from services.order.events import Line, Shipment, Shortage
from services.order.state import CalledOff, Declined, Order, OutOfStock, Rejection, State, TimedOut, fold
from services.order.storage import OLD_TYPES, UnreadableHistory, read_history
from services.order.tables import events, orders

CHANGING: Final = (
    "state",
    "refunded",
    "payment_id",
    "rejection",
    "cancel_reason",
    "shipment",
    "update_time",
    "version",
)
"""Columns that can change after an order was placed."""

BATCH: Final = 200
"""How many orders a rebuild locks, folds and writes at a time."""


class HistoriesUnreadable(ValueError):
    """A rebuild could not fold some orders; their rows are as they were, those of all others are written anew."""

    def __init__(self, unreadable: Sequence[UnreadableHistory], rebuilt: int) -> None:
        super().__init__(f"{len(unreadable)} orders cannot be read, {rebuilt} are rebuilt; the first: {unreadable[0]}")
        self.unreadable = unreadable
        self.rebuilt = rebuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An order as its buyer sees it."""

    id: str
    user_id: str
    state: State
    lines: tuple[Line, ...]
    total: Money
    refunded: Money
    payment_id: str
    rejection: Rejection | None
    """Why it is rejected; known before the state says so, while things are being undone."""
    cancel_reason: str
    shipment: Shipment | None
    placed_at: datetime
    updated_at: datetime
    version: int


def view_of(order: Order) -> View:
    """What the buyer sees of an order."""
    return View(
        id=order.id,
        user_id=order.user_id,
        state=order.state,
        lines=order.lines,
        total=order.total,
        refunded=order.refunded,
        payment_id=order.payment_id,
        rejection=None if isinstance(order.ending, CalledOff) else order.ending,
        cancel_reason=order.ending.reason if isinstance(order.ending, CalledOff) else "",
        shipment=order.shipment,
        placed_at=order.placed_at,
        updated_at=order.updated_at,
        version=order.version,
    )


async def write(tx: Transaction, view: View, *, replaces: int) -> None:
    """Writes an order's row in place of the one at version `replaces`; 0 where there is none yet.

    The row is locked from here to the end of the transaction, before the stream is touched: whoever changes an order
    comes through here first, so two that do wait for each other in one place and never in a circle.

    Raises:
        ConcurrencyConflict: The row stands at another version. The transaction can go on.
    """
    row = _row(view)
    if replaces == 0:
        await tx.execute(insert(orders), row)
        return
    changed = {name: row[name] for name in CHANGING}
    unchanged = orders.c.id == view.id, orders.c.version == replaces
    if (await tx.execute(update(orders).where(*unchanged).values(changed))).rowcount != 1:
        raise ConcurrencyConflict(view.id, replaces)


async def rebuild(database: Database) -> int:
    """Writes every order's row anew from its events, and drops rows that have none. The service may go on meanwhile.

    Snapshots are not asked: what is rebuilt is what the events say.

    Returns:
        How many orders there are.

    Raises:
        HistoriesUnreadable: Some have events that this process does not know; all others are rebuilt.
    """
    count, unreadable, last = 0, list[UnreadableHistory](), str(UUID(int=0))
    while last:
        batch = await database.transact(partial(_rebuild_after, last=last))
        count, last = count + batch.count, batch.last
        unreadable += batch.unreadable
    if unreadable:
        raise HistoriesUnreadable(unreadable, count)
    return count


_HISTORY: Final = select(
    events.c.stream_id,
    events.c.version,
    events.c.type,
    events.c.payload,
    # Only of old versions is anything read from the metadata, and of a million events it takes its time.
    case((events.c.type.in_(OLD_TYPES), events.c.metadata)).label("metadata"),
    events.c.time,
)


@dataclass(frozen=True, slots=True)
class _Batch:
    last: str
    """The id of its last order; empty where there was none left."""
    count: int
    unreadable: Sequence[UnreadableHistory]


async def _drop_strangers(tx: Transaction, after: str, up_to: str | None) -> None:
    """Drops rows that have no history. A part at a time, for a statement may take only so long."""
    history = select(events.c.version).where(events.c.stream_id == orders.c.id.cast(events.c.stream_id.type))
    strangers = delete(orders).where(orders.c.id > after, ~history.exists())
    await tx.execute(strangers if up_to is None else strangers.where(orders.c.id <= up_to))


async def _rebuild_after(tx: Transaction, last: str) -> _Batch:
    first_events = select(events.c.stream_id).where(events.c.version == 1, events.c.stream_id > last)
    found = await tx.execute(first_events.order_by(events.c.stream_id).limit(BATCH))
    ids = found.scalars().all()
    await _drop_strangers(tx, last, ids[-1] if ids else None)
    # While a row is locked nobody appends to its stream; where the row is missing nobody can.
    await tx.execute(select(orders.c.id).where(orders.c.id.in_(ids)).order_by(orders.c.id).with_for_update())
    history = await tx.execute(
        _HISTORY.where(events.c.stream_id.in_(ids)).order_by(events.c.stream_id, events.c.version)
    )
    rows, unreadable = list[dict[str, Any]](), list[UnreadableHistory]()
    for order_id, stored in groupby(history, key=attrgetter("stream_id")):
        try:
            order = fold(read_history(order_id, stored))
        except UnreadableHistory as why:
            unreadable.append(why)
        else:
            rows += [_row(view_of(order))] if order else []
    if rows:
        statement = insert(orders)
        fresh = {name: column for name, column in statement.excluded.items() if name != "id"}
        await tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_=fresh), rows)
    return _Batch(ids[-1] if ids else "", len(rows), unreadable)


def view_from(row: RowMapping) -> View:
    """The view that a row of the read table holds."""
    currency = row["currency"]
    return View(
        id=row["id"],
        user_id=row["user_id"],
        state=State(row["state"]),
        lines=tuple(
            Line(line["product_id"], line["name"], Money(currency, line["unit_price"]), line["quantity"])
            for line in row["lines"]
        ),
        total=Money(currency, row["total"]),
        refunded=Money(currency, row["refunded"]),
        payment_id=row["payment_id"],
        rejection=_rejection_from(row["rejection"]),
        cancel_reason=row["cancel_reason"],
        shipment=Shipment(**row["shipment"]) if row["shipment"] else None,
        placed_at=row["create_time"],
        updated_at=row["update_time"],
        version=row["version"],
    )


def _row(view: View) -> dict[str, Any]:
    return {
        "id": view.id,
        "user_id": view.user_id,
        "state": view.state.value,
        "lines": [
            {
                "product_id": line.product_id,
                "name": line.name,
                "unit_price": line.unit_price.minor,
                "quantity": line.quantity,
            }
            for line in view.lines
        ],
        "currency": view.total.currency,
        "total": view.total.minor,
        "refunded": view.refunded.minor,
        "payment_id": view.payment_id,
        "rejection": _rejection(view.rejection),
        "cancel_reason": view.cancel_reason,
        "shipment": view.shipment
        and {"carrier": view.shipment.carrier, "tracking_number": view.shipment.tracking_number},
        "create_time": view.placed_at,
        "update_time": view.updated_at,
        "version": view.version,
    }


def _rejection(rejection: Rejection | None) -> dict[str, Any] | None:
    match rejection:
        case None:
            return None
        case OutOfStock(shortages):
            return {"out_of_stock": [[each.product_id, each.description] for each in shortages]}
        case Declined(reason):
            return {"declined": reason}
        case TimedOut():
            return {"timed_out": True}
        case _:
            assert_never(rejection)


def _rejection_from(stored: dict[str, Any] | None) -> Rejection | None:
    match stored:
        case None:
            return None
        case {"out_of_stock": shortages}:
            return OutOfStock(tuple(Shortage(product_id, description) for product_id, description in shortages))
        case {"declined": reason}:
            return Declined(reason)
        case _:
            return TimedOut()
