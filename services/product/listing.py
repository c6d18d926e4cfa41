"""ListProducts: which products, in which order, a page at a time, and how many there are in all.

Pages are keyset scans: a page begins behind the last key of the one before, so the hundredth costs what the first does.
Products are dated by their ids, so `create_time` is the order of the primary key.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Executable,
    Integer,
    Select,
    cast,
    func,
    literal,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from services.product.domain import Product
from services.product.search import words
from services.product.store import product_of
from services.product.tables import availability, product

EXACT: Final = 10_000
"""Totals up to this are counted anew for each page; beyond, counting costs more than the page."""
REMEMBERED_SECONDS: Final = 5.0
MOST_REMEMBERED: Final = 1000

_RANK_STEPS: Final = 1_000_000
"""Ranks are compared as whole millionths, so that a page token holds them exactly."""

_NOT_READ: Final = frozenset({"search", "name_key", "sort_key", "twin"})
# Spelled out, not a parameter: it is the condition of the partial indexes.
_ON_SALE: Final[ColumnElement[str]] = literal_column("'ACTIVE'")


class Order(StrEnum):
    """By what products are sorted; products that are alike in it by id."""

    NAME = "name"
    PRICE = "price"
    CREATE_TIME = "create_time"
    RANK = "rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which products; everything that is set must hold. Only those on sale."""

    query: str = ""
    category_id: str = ""
    min_price: int | None = None
    """Minor units."""
    max_price: int | None = None


@dataclass(frozen=True, slots=True)
class Sorting:
    """In which order."""

    order: Order
    descending: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A page."""

    products: tuple[Product, ...]
    last_key: tuple[str | int, ...] | None
    """What the next page begins behind; None where there is none."""
    total: int


class Listing:
    """Lists products. Remembers large totals for a moment.

    Args:
        clock: seconds, rising.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._totals: OrderedDict[Filter, tuple[float, int]] = OrderedDict()

    async def page(
        self, connection: AsyncConnection, which: Filter, sorting: Sorting, *, after: Sequence[Any] | None, size: int
    ) -> Listed:
        """The products behind the key `after`, at most `size`."""
        known = self._remembered(which)
        statement = _page(which, sorting, after=after, size=size + 1)
        if known is None:
            statement = statement.add_columns(_count_up_to(which, EXACT + 1).label("total"))
        rows = (await connection.execute(statement)).mappings().all()
        total = known if known is not None else rows[0]["total"] if rows else 0
        if known is None and total > EXACT:
            total = await self._count(connection, which)
        last = rows[size - 1] if len(rows) > size else None
        return Listed(
            products=tuple(product_of(row) for row in rows[:size]),
            last_key=None if last is None else tuple(last[f"key_{part}"] for part in range(len(_key(which, sorting)))),
            total=total,
        )

    def _remembered(self, which: Filter) -> int | None:
        found = self._totals.get(which)
        return found[1] if found and found[0] > self._clock() else None

    async def _count(self, connection: AsyncConnection, which: Filter) -> int:
        if which.query:
            # Words match by a bitmap over all of the index, and each match would have to be looked at.
            total = max(EXACT + 1, await _estimate(connection, which))
        else:
            total = (await connection.execute(_matching(which, func.count()))).scalar_one()
        self._totals[which] = (self._clock() + REMEMBERED_SECONDS, total)
        self._totals.move_to_end(which)
        while len(self._totals) > MOST_REMEMBERED:
            self._totals.popitem(last=False)
        return total


def _page(which: Filter, sorting: Sorting, *, after: Sequence[Any] | None, size: int) -> Select[Any]:
    key = _key(which, sorting)
    pieces = func.coalesce(availability.c.available, 0).label("available")
    columns = [column for column in product.c if column.name not in _NOT_READ]
    keys = [part.label(f"key_{index}") for index, part in enumerate(key)]
    statement = (
        _matching(which, *columns, pieces, *keys)
        .join_from(product, availability, availability.c.product_id == product.c.id, isouter=True)
        .order_by(*(part.desc() if sorting.descending else part.asc() for part in key))
        .limit(size)
    )
    if after is None:
        return statement
    here, last = tuple_(*key), tuple_(*(literal(value, part.type) for value, part in zip(after, key, strict=True)))
    return statement.where(here < last if sorting.descending else here > last)


def _key(which: Filter, sorting: Sorting) -> tuple[ColumnElement[Any], ...]:
    match sorting.order:
        case Order.NAME:
            return (product.c.sort_key, product.c.id)
        case Order.PRICE:
            return (product.c.price, product.c.id)
        case Order.CREATE_TIME:
            return (product.c.id,)
        case Order.RANK:
            rank = func.ts_rank(product.c.search, words(which.query))
            return (cast(rank * _RANK_STEPS, Integer), product.c.id)


def _matching(which: Filter, *columns: ColumnElement[Any]) -> Select[Any]:
    statement = select(*columns).select_from(product).where(product.c.state == _ON_SALE)
    if which.query:
        statement = statement.where(product.c.search.op("@@")(words(which.query)))
    if which.category_id:
        statement = statement.where(product.c.category_id == which.category_id)
    if which.min_price is not None:
        statement = statement.where(product.c.price >= which.min_price)
    if which.max_price is not None:
        statement = statement.where(product.c.price <= which.max_price)
    return statement


def _count_up_to(which: Filter, limit: int) -> Any:
    some = _matching(which, product.c.id).limit(limit).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


async def _estimate(connection: AsyncConnection, which: Filter) -> int:
    """How many rows the planner expects, out of the statistics it keeps."""
    # A column without a type: the plan would be read as if it were the column that the query selects.
    query = _matching(which, literal_column("1"))
    plan: Any = (await connection.execute(_Explain(query))).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])


class _Explain(Executable, ClauseElement):
    """EXPLAIN of a query: what the planner makes of it, without running it."""

    inherit_cache = False

    def __init__(self, query: Select[Any]) -> None:
        self.query = query


@compiles(_Explain)
def _explain(element: _Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.query, **options)}"
