"""What inventory asks its database, in the words of the domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data import Transaction
from services.inventory import statements
from services.inventory.domain import MOST_PIECES, Change, HoldState, Kind, Line, Movement, Stock


@dataclass(frozen=True, slots=True)
class Hold:
    """What an order has of the stock."""

    state: HoldState
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Reserving:
    """What became of an attempt to reserve."""

    changes: tuple[Change, ...]
    """One a line where all were reserved, else none."""
    available: dict[str, int]
    """Pieces of each wanted product before the attempt; empty where the order already has a hold."""


@dataclass(frozen=True, slots=True)
class Adjusting:
    """What became of an attempt to adjust."""

    change: Change | None
    """None where the result would be out of bounds."""
    before: int
    """Pieces available before the attempt."""


@dataclass(frozen=True, slots=True)
class MovementPage:
    """Movements, newest first, and how many there are in all."""

    movements: tuple[Movement, ...]
    total: int


async def find(connection: AsyncConnection, product_ids: Sequence[str]) -> dict[str, Stock]:
    """The stock of those products that have one, by product id."""
    rows = await connection.execute(statements.FIND, {"product_ids": list(product_ids)})
    return {row["product_id"]: _stock(row) for row in rows.mappings()}


async def list_movements(connection: AsyncConnection, product_id: str, *, before: int, size: int) -> MovementPage:
    """The `size` newest movements of a product whose version is below `before`."""
    rows = await connection.execute(statements.MOVEMENTS, {"product_id": product_id, "before": before, "size": size})
    page = rows.mappings().all()
    return MovementPage(tuple(_movement(row) for row in page), page[0]["total"] if page else 0)


async def open_stock(tx: Transaction, pieces: dict[str, int], *, reason: str, now: datetime) -> tuple[Change, ...]:
    """Makes the stock of new products, in one statement however many; those that have one are left as they are."""
    rows = await tx.execute(
        statements.OPEN, {"product_ids": list(pieces), "pieces": list(pieces.values()), "reason": reason, "now": now}
    )
    return tuple(_change(Kind.ADJUSTED, row) for row in rows.mappings())


async def adjust(
    tx: Transaction, product_id: str, delta: int, *, reason: str, low: int, now: datetime
) -> Adjusting | None:
    """Adds `delta` pieces unless that leads out of bounds. None where the product has no stock."""
    parameters = {
        "product_id": product_id,
        "delta": delta,
        "reason": reason,
        "low": low,
        "most": MOST_PIECES,
        "now": now,
    }
    row = (await tx.execute(statements.ADJUST, parameters)).mappings().first()
    if row is None:
        return None
    return Adjusting(_change(Kind.ADJUSTED, row) if row["version"] is not None else None, row["before"])


async def reserve(tx: Transaction, order_id: str, lines: Sequence[Line], *, low: int, now: datetime) -> Reserving:
    """Reserves all lines, or none.

    Where there is too little, the order's hold stays behind and has to be taken back with `unhold`.
    """
    parameters = {
        "order_id": order_id,
        "product_ids": [line.product_id for line in lines],
        "quantities": [line.quantity for line in lines],
        "low": low,
        "now": now,
    }
    rows = (await tx.execute(statements.RESERVE, parameters)).mappings().all()
    return Reserving(
        changes=tuple(_change(Kind.RESERVED, row) for row in rows if row["version"] is not None),
        available={row["product_id"]: row["before"] for row in rows},
    )


async def unhold(tx: Transaction, order_id: str) -> None:
    """Takes back the hold of an order of which nothing could be reserved."""
    await tx.execute(statements.UNHOLD, {"order_id": order_id})


async def find_hold(tx: Transaction, order_id: str) -> Hold | None:
    """What an order has of the stock, or None where it never asked."""
    rows = (await tx.execute(statements.HELD, {"order_id": order_id})).mappings().all()
    if not rows:
        return None
    lines = tuple(Line(row["product_id"], row["quantity"]) for row in rows if row["product_id"] is not None)
    return Hold(HoldState(rows[0]["state"]), lines)


async def commit(tx: Transaction, order_id: str, *, now: datetime) -> tuple[Change, ...]:
    """Turns what an order reserved into a sale; nothing where it is not reserved, or no longer."""
    rows = await tx.execute(statements.COMMIT, {"order_id": order_id, "now": now})
    return tuple(_change(Kind.COMMITTED, row) for row in rows.mappings())


async def release(tx: Transaction, order_id: str, *, now: datetime) -> tuple[Change, ...]:
    """Gives back what an order reserved or bought; nothing where it has nothing that this statement can see."""
    rows = await tx.execute(statements.RELEASE, {"order_id": order_id, "now": now})
    return tuple(_change(Kind.RELEASED, row) for row in rows.mappings())


async def bury(tx: Transaction, order_id: str, *, now: datetime) -> bool:
    """Leaves a tombstone, so that a late reservation is refused. False where the order has a hold by now."""
    rows = await tx.execute(statements.BURY, {"order_id": order_id, "now": now})
    return rows.first() is not None


def _stock(row: RowMapping) -> Stock:
    return Stock(
        product_id=row["product_id"],
        available=row["available"],
        reserved=row["reserved"],
        sold=row["sold"],
        version=row["version"],
        update_time=row["update_time"],
    )


def _change(kind: Kind, row: RowMapping) -> Change:
    return Change(
        kind=kind,
        stock=_stock(row),
        quantity=row["quantity"],
        version=row["event_version"],
        order_id=row.get("order_id") or "",
        reason=row.get("reason") or "",
    )


def _movement(row: RowMapping) -> Movement:
    order_id: Any = row["order_id"]
    return Movement(
        id=str(row["id"]),
        product_id=str(row["product_id"]),
        version=row["version"],
        kind=Kind(row["kind"]),
        quantity=row["quantity"],
        order_id=str(order_id) if order_id else "",
        reason=row["reason"],
        create_time=row["create_time"],
    )
