"""What order tells the audit: every history folded again, held against the read table, the saga and the answers given.

One pass over all events, in the order of their streams. What it says of money and pieces is what the events say; the
audit compares it with what payment, the provider, inventory and analytics have.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.rows import dict_row

from mesh.audit import Book, Facts, Finding, Invariant, Scope
from mesh.audit.facts import Account, Connection
from mesh.audit.secrets import rows_with_secrets
from services.order.events import OrderCancelled, OrderConfirmed, OrderRejected
from services.order.projections import View, view_from, view_of
from services.order.state import Order, Payment, State, begin, evolve
from services.order.storage import read
from services.order.wire import public_event
from zoco.order.v1.order_pb2 import Order as OrderMessage

FETCH: Final = 5000
"""Events that are read at a time."""

_EVENTS: Final = "SELECT stream_id, version, type, payload, time, metadata FROM events ORDER BY stream_id, version"
_ROWS: Final = "SELECT *, id::text AS id, user_id::text AS user_id FROM orders"
_SAGAS: Final = """
    SELECT order_id::text, step, started_at, next_at < clock_timestamp() - interval '30 seconds' FROM saga
"""
_TOLD: Final = "SELECT aggregate_id, version, type FROM outbox ORDER BY aggregate_id, version"
_PLACED: Final = """
    SELECT key, resource_id, status, response, answered_at FROM idempotency
    WHERE method = '/zoco.order.v1.OrderService/CreateOrder'
"""
_READABLE: Final = """
    SELECT given FROM unnest(%s::text[]) AS given
    WHERE NOT EXISTS (SELECT FROM orders WHERE id::text = given)
       OR NOT EXISTS (SELECT FROM events WHERE stream_id = given)
"""

_OF_EACH_ORDER: Final = (
    Invariant.ONE_OUTCOME,
    Invariant.MONEY_AGREES,
    Invariant.NO_STRAY_CHARGE,
    Invariant.VIEWS_ARE_FOLDS,
)
_OUTCOMES: Final = (OrderConfirmed, OrderRejected, OrderCancelled)
_SOLD: Final = frozenset({State.CONFIRMED, State.SHIPPED, State.DELIVERED})

Told = list[tuple[int, str]]
"""What others were told of an order: versions and the full names of events, in their order."""


@dataclass(slots=True)
class _Folded:
    """What the histories told."""

    orders: int = 0
    events: int = 0
    under_way: set[str] = field(default_factory=set)
    wrong: dict[Invariant, list[str]] = field(default_factory=dict)
    money: dict[str, Account] = field(default_factory=dict)
    pieces: dict[str, Account] = field(default_factory=dict)
    known: dict[str, Account] = field(default_factory=dict)
    placed: dict[str, Account] = field(default_factory=dict)
    sold: dict[str, Account] = field(default_factory=dict)

    def complain(self, invariant: Invariant, sentence: str) -> None:
        """Notes what is wrong."""
        self.wrong.setdefault(invariant, []).append(sentence)


async def examine(connection: Connection, scope: Scope) -> Facts:
    """What the tables of order say."""
    sagas = {row[0]: row[1:] for row in await (await connection.execute(_SAGAS)).fetchall()}
    told = await _told(connection)
    rows = await _rows(connection)
    folded = _Folded()
    async for order_id, order, outcomes, expected in _folds(connection, folded):
        folded.orders += 1
        heard = told.pop(order_id, [])
        if order is not None:
            _judge(folded, order, outcomes, sagas, scope)
            if expected != heard:
                folded.complain(Invariant.ONE_OUTCOME, f"{order_id}: told others something else than happened")
        _compare(folded, order_id, order, rows.pop(order_id, None))
    for order_id in rows:
        folded.complain(Invariant.VIEWS_ARE_FOLDS, f"{order_id}: is shown and has no history")
    for order_id in told:
        folded.complain(Invariant.ONE_OUTCOME, f"{order_id}: was told about and has no history")
    overdue = _overdue(folded, sagas, scope)
    return Facts(
        findings=[
            *(Finding.of(each, folded.orders, folded.wrong.get(each, [])) for each in _OF_EACH_ORDER),
            Finding.of(Invariant.AT_REST, len(sagas), overdue),
            await _acknowledged(connection, scope),
            await _answers(connection, folded),
            await _secrets(connection, scope),
        ],
        books=_books(folded),
    )


async def under_way(connection: Connection) -> int:
    """Orders for which something is to be done."""
    row = await (await connection.execute("SELECT count(*) FROM saga")).fetchone()
    return int(row[0]) if row else 0


async def _told(connection: Connection) -> dict[str, Told]:
    told: dict[str, Told] = {}
    for order_id, version, kind in await (await connection.execute(_TOLD)).fetchall():
        told.setdefault(order_id, []).append((version, kind))
    return told


async def _rows(connection: Connection) -> dict[str, View]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_ROWS)
        return {row["id"]: view_from(row) for row in await cursor.fetchall()}  # type: ignore[arg-type]  # by column


async def _folds(connection: Connection, folded: _Folded) -> AsyncIterator[tuple[str, Order | None, list[str], Told]]:
    """Each order as its events tell it, the outcomes it had, and what had to be told of it; None if it has no sense."""
    current, order, broken = "", None, False
    outcomes: list[str] = []
    expected: Told = []
    async with connection.cursor(name="histories", binary=True) as cursor:
        cursor.itersize = FETCH
        await cursor.execute(_EVENTS)
        async for stream_id, version, kind, payload, time, metadata in cursor:
            folded.events += 1
            if stream_id != current:
                if current:
                    yield current, None if broken else order, outcomes, expected
                current, order, broken, outcomes, expected = stream_id, None, False, [], []
            if broken:
                continue
            if version != (order.version + 1 if order else 1):
                folded.complain(Invariant.VIEWS_ARE_FOLDS, f"{stream_id}: event {version} does not follow the last")
                broken = True
                continue
            try:
                event = read(kind, payload, metadata)
                order = begin(event, time) if order is None else evolve(order, event, time)  # type: ignore[arg-type]  # what is none raises
            except Exception as error:  # noqa: BLE001 - whatever a history cannot be read by is what is looked for
                folded.complain(Invariant.VIEWS_ARE_FOLDS, f"{stream_id}: event {version} ({kind}): {error}")
                broken = True
                continue
            if isinstance(event, _OUTCOMES):
                outcomes.append(type(event).__name__)
            if (public := public_event(order, event)) is not None:
                expected.append((version, public.DESCRIPTOR.full_name))
    if current:
        yield current, None if broken else order, outcomes, expected


def _judge(
    folded: _Folded, order: Order, outcomes: list[str], sagas: Mapping[str, tuple[Any, ...]], scope: Scope
) -> None:
    """Holds one order against what must be true of each, and notes what others must say of it."""
    if outcomes not in (
        [],
        ["OrderConfirmed"],
        ["OrderRejected"],
        ["OrderCancelled"],
        ["OrderConfirmed", "OrderCancelled"],
    ):
        folded.complain(Invariant.ONE_OUTCOME, f"{order.id}: {', '.join(outcomes)}")
    under_way = order.id in sagas
    if order.state is State.PENDING and scope.is_quiet(order.placed_at):
        folded.complain(Invariant.ONE_OUTCOME, f"{order.id}: undecided, placed {order.placed_at:%Y-%m-%d %H:%M:%S}")
    if order.refunded > order.captured or order.captured > order.total:
        folded.complain(Invariant.MONEY_AGREES, f"{order.id}: gave back more than it took, or took more than it costs")
    folded.known[order.id] = (True,)
    folded.placed[order.id] = (order.total.minor,)
    if under_way or not scope.is_quiet(order.updated_at):
        folded.under_way.add(order.id)
        return
    if order.state is State.PENDING:
        folded.complain(Invariant.ONE_OUTCOME, f"{order.id}: undecided, and nobody drives it")
        folded.under_way.add(order.id)
        return
    owed = order.total if order.state in _SOLD else order.captured - order.refunded
    if order.state in _SOLD and order.captured != owed:
        folded.complain(Invariant.MONEY_AGREES, f"{order.id}: {order.state}, {order.captured} taken of {order.total}")
    if order.state not in _SOLD and owed:
        folded.complain(Invariant.MONEY_AGREES, f"{order.id}: {order.state}, and {owed} was not given back")
    if order.payment is Payment.HELD:
        folded.complain(Invariant.NO_STRAY_CHARGE, f"{order.id}: at rest with a capture that is not known")
    folded.money[order.id] = (
        order.captured.minor,
        order.refunded.minor,
        order.total.currency if order.captured else "",
    )
    if order.state in _SOLD:
        for line in order.lines:
            folded.pieces[f"{order.id} {line.product_id}"] = (0, line.quantity)
    if "OrderConfirmed" in outcomes:
        folded.sold[order.id] = (order.captured.minor, sum(line.quantity for line in order.lines))


def _compare(folded: _Folded, order_id: str, order: Order | None, shown: View | None) -> None:
    if shown is None:
        folded.complain(Invariant.VIEWS_ARE_FOLDS, f"{order_id}: has a history and is not shown")
    elif order is not None and view_of(order) != shown:
        folded.complain(
            Invariant.VIEWS_ARE_FOLDS, f"{order_id}: is shown otherwise than its {order.version} events tell"
        )


def _overdue(folded: _Folded, sagas: Mapping[str, tuple[Any, ...]], scope: Scope) -> list[str]:
    """Orders for which something is due that nobody does."""
    return [
        f"{order_id}: waits at {step} since {started_at:%Y-%m-%d %H:%M:%S}"
        for order_id, (step, started_at, late) in sorted(sagas.items())
        if order_id not in folded.known or ((late or scope.settled) and scope.is_quiet(started_at))
    ]


async def _acknowledged(connection: Connection, scope: Scope) -> Finding:
    missing = await (await connection.execute(_READABLE, [list(scope.acknowledged)])).fetchall()
    wrong = [f"{order_id}: was acknowledged and cannot be read" for (order_id,) in missing]
    return Finding.of(Invariant.READABLE, len(scope.acknowledged), wrong)


async def _answers(connection: Connection, folded: _Folded) -> Finding:
    """Two orders never share a key, and an answer names an order that is there."""
    wrong: list[str] = []
    named: Counter[str] = Counter()
    rows = await (await connection.execute(_PLACED)).fetchall()
    for key, order_id, status, response, _ in rows:
        if order_id is not None:
            named[order_id] += 1
            if order_id not in folded.known:
                wrong.append(f"{order_id}: key {key} is answered with an order that is not there")
        if status == 0 and order_id is not None and OrderMessage.FromString(bytes(response)).id != order_id:
            wrong.append(f"{order_id}: key {key} is answered with another order")
    wrong += [f"{order_id}: placed under {count} keys" for order_id, count in named.items() if count > 1]
    return Finding.of(Invariant.IDEMPOTENT, len(rows), wrong)


async def _secrets(connection: Connection, scope: Scope) -> Finding:
    columns = ["payload::bytea", "metadata"]
    rows, wrong = await rows_with_secrets(connection, "events", "stream_id || '/' || version", columns, scope.secrets)
    return Finding.of(Invariant.NO_LEAK_OF_SECRETS, rows, [f"order: {each}" for each in wrong])


def _books(folded: _Folded) -> list[Book]:
    moving = frozenset(folded.under_way)

    def book(invariant: Invariant, about: str, accounts: Mapping[str, Account], nothing: Account) -> Book:
        return Book(
            invariant=invariant,
            about=about,
            keeper="order",
            accounts=accounts,
            nothing=nothing,
            under_way=moving,
        )

    return [
        book(Invariant.MONEY_AGREES, "money", folded.money, (0, 0, "")),
        book(Invariant.NO_STRAY_CHARGE, "orders", folded.known, (False,)),
        book(Invariant.NO_STRAY_CHARGE, "holds", {}, (0,)),
        book(Invariant.STOCK_ADDS_UP, "pieces", folded.pieces, (0, 0)),
        book(Invariant.VIEWS_ARE_FOLDS, "sales", folded.sold, (0, 0)),
        book(Invariant.VIEWS_ARE_FOLDS, "placements", folded.placed, (0,)),
    ]
