"""What order keeps: streams of events with all that changes along with them, and the queries of its read side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from google.type.postal_address_pb2 import PostalAddress
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.call import find_call
from mesh.data import Transaction
from mesh.data.event_store import EventStore, NewEvent, Snapshot
from services.order import leases, projections, snapshots, storage
from services.order.events import Change, Event, OrderPlaced
from services.order.metrics import OrderMetrics
from services.order.projections import View, view_from, view_of
from services.order.saga import needs_card, next_step
from services.order.state import Order, State, begin, evolve, fold
from services.order.tables import events, of_mesh, orders, shipping_address
from services.order.tables import snapshots as snapshots_table
from services.order.wire import public_event

_STREAMS: Final = EventStore(events, snapshots_table, schema=snapshots.SCHEMA)


@dataclass(frozen=True, slots=True)
class Shown:
    """An order as its buyer sees it, and where it goes."""

    view: View
    address: PostalAddress | None
    """None once it was erased."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry of an order's history."""

    version: int
    event: Event
    time: datetime
    actor: str
    """Who did it: a user id, or the workload."""


@dataclass(frozen=True, kw_only=True)
class OrderStore:
    """Appends to the streams of orders. What belongs to an event changes in its transaction, and only here."""

    metrics: OrderMetrics
    lease: timedelta
    """How long an order that has something to be done belongs to whoever appended."""

    async def place(self, tx: Transaction, placed: OrderPlaced, *, card: str, address: PostalAddress) -> Order:
        """Begins the stream of an order: with it come its view, its saga row with the first intent, and its address."""
        order = begin(placed, tx.clock())
        await self._append(tx, None, [(order, placed)], actor=placed.user_id, card=card)
        await tx.execute(
            insert(shipping_address),
            {"order_id": order.id, "user_id": order.user_id, "address": address.SerializeToString()},
        )
        return order

    async def append(self, tx: Transaction, before: Order, changes: Sequence[Change], *, actor: str) -> Order:
        """Appends changes to the stream of an order, as it stood when they were decided.

        Returns:
            The order after them.

        Raises:
            ConcurrencyConflict: Somebody else has appended. Load it again and decide anew.
        """
        # Clocks of two processes differ; an order's own time does not go back.
        at = max(tx.clock(), before.updated_at)
        order, trail = before, list[tuple[Order, Event]]()
        for change in changes:
            order = evolve(order, change, at)
            trail.append((order, change))
        await self._append(tx, before, trail, actor=actor)
        return order

    async def _append(
        self,
        tx: Transaction,
        before: Order | None,
        trail: Sequence[tuple[Order, Event]],
        *,
        actor: str,
        card: str | None = None,
    ) -> None:
        after = trail[-1][0]
        stood_at = before.version if before else 0
        await projections.write(tx, view_of(after), replaces=stood_at)
        call = find_call()
        correlation_id = call.correlation_id if call else ""
        metadata = {"actor": actor, "correlation_id": correlation_id}
        new = [NewEvent(*storage.write(event), order.updated_at, metadata) for order, event in trail]
        await _STREAMS.append(tx, after.id, new, expected_version=stood_at)
        if snapshots.is_due(stood_at, after.version):
            await _STREAMS.keep(tx, after.id, Snapshot(after.version, snapshots.write(after), after.updated_at))
        for order, event in trail:
            if (public := public_event(order, event)) is not None:
                tx.publish(public, aggregate_id=order.id, version=order.version)
        await self._schedule(tx, before, after, correlation_id=correlation_id, card=card)
        tx.wake(after.id)
        tx.after_commit(partial(self.metrics.changed, before, after))

    async def _schedule(
        self, tx: Transaction, before: Order | None, after: Order, *, correlation_id: str, card: str | None
    ) -> None:
        if (step := next_step(after)) is not None:
            await leases.follow(
                tx,
                after.id,
                step.name,
                lease=self.lease,
                correlation_id=correlation_id,
                card=card,
                needs_card=needs_card(after),
            )
        elif before is not None and next_step(before) is not None:
            await leases.finish(tx, after.id)


async def load(connection: AsyncConnection, order_id: str, *, until: datetime | None = None) -> Order | None:
    """An order as its events tell it, all of them or those up to a time; None where there is none.

    Folds what came after the newest snapshot.

    Raises:
        UnreadableHistory: One of its events is of a type or version that this process does not know, or is damaged.
    """
    tail = await _STREAMS.load_tail(connection, order_id, until=until)
    onto = snapshots.read(tail.snapshot.state) if tail.snapshot else None
    return fold(storage.read_history(order_id, tail.events), onto)


async def replay(connection: AsyncConnection, order_id: str, *, until: datetime | None = None) -> Order | None:
    """The same, folded from the first event on, whatever snapshots say.

    Raises:
        UnreadableHistory: As for `load`.
    """
    return fold(storage.read_history(order_id, await _STREAMS.load(connection, order_id, until=until)))


async def lock(tx: Transaction, order_id: str) -> Order | None:
    """An order that nobody else changes before this transaction ends."""
    await tx.execute(select(orders.c.id).where(orders.c.id == order_id).with_for_update())
    return await load(tx.connection, order_id)


async def history(connection: AsyncConnection, order_id: str, *, after: int, most: int) -> list[Recorded]:
    """The entries of an order's history behind a version, oldest first."""
    query = (
        select(events)
        .where(events.c.stream_id == order_id, events.c.version > after)
        .order_by(events.c.version)
        .limit(most)
    )
    return [
        Recorded(
            row.version, storage.read(row.type, row.payload, row.metadata), row.time, row.metadata.get("actor", "")
        )
        for row in await connection.execute(query)
    ]


async def find(connection: AsyncConnection, order_id: str) -> Shown | None:
    """An order as its buyer sees it."""
    rows = await connection.execute(_SHOWN.where(orders.c.id == order_id))
    row = rows.mappings().one_or_none()
    return _shown(row) if row else None


async def find_address(connection: AsyncConnection, order_id: str) -> PostalAddress | None:
    """Where an order goes; None once it was erased."""
    rows = await connection.execute(select(shipping_address.c.address).where(shipping_address.c.order_id == order_id))
    return _address(rows.scalar_one_or_none())


async def find_many(
    connection: AsyncConnection, *, user_id: str | None, state: State | None, before: str | None, most: int
) -> list[Shown]:
    """Orders, newest first, that were placed before the one whose id is `before`."""
    query = _SHOWN.where(*_filter(user_id, state)).order_by(orders.c.id.desc()).limit(most)
    if before is not None:
        query = query.where(orders.c.id < before)
    rows = await connection.execute(query)
    return [_shown(row) for row in rows.mappings()]


async def count(connection: AsyncConnection, *, user_id: str | None, state: State | None) -> int:
    """How many orders there are."""
    rows = await connection.execute(select(func.count()).select_from(orders).where(*_filter(user_id, state)))
    return rows.scalar_one()


async def erase_addresses(tx: Transaction, user_ids: Sequence[str]) -> None:
    """Erases where the orders of users go, also from the answers they were given."""
    await tx.execute(delete(shipping_address).where(shipping_address.c.user_id.in_(user_ids)))
    principals = [f"user:{user_id}" for user_id in user_ids]
    await tx.execute(delete(of_mesh.idempotency).where(of_mesh.idempotency.c.principal.in_(principals)))


_SHOWN: Final = select(orders, shipping_address.c.address).outerjoin(
    shipping_address, shipping_address.c.order_id == orders.c.id
)


def _filter(user_id: str | None, state: State | None) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if user_id is not None:
        wanted.append(orders.c.user_id == user_id)
    if state is not None:
        wanted.append(orders.c.state == state.value)
    return wanted


def _shown(row: Any) -> Shown:
    return Shown(view_from(row), _address(row["address"]))


def _address(stored: bytes | None) -> PostalAddress | None:
    return None if stored is None else PostalAddress.FromString(stored)
