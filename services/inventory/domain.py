"""What stock is and what may become of it: pure, without a database or a wire.

Stock is bought by many at once, so the moment of decision lies in one SQL statement a use case (statements.py), which
locks, looks and writes in one round trip. Here stand the words it speaks in, and the rules that are no arithmetic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

MOST_PIECES: Final = 2_000_000_000
"""How many pieces of a product can ever be received: what an int32 of the contract can say, with room to spare."""


@dataclass(frozen=True, slots=True)
class Stock:
    """The pieces of one product. `available + reserved + sold` is what was ever received."""

    product_id: str
    available: int
    """Pieces that can be bought."""
    reserved: int
    """Pieces held for orders that are not decided."""
    sold: int
    """Pieces that left for good."""
    version: int
    """Rises by one with each event."""
    update_time: datetime

    @property
    def received(self) -> int:
        """Pieces that ever came in, less those written off."""
        return self.available + self.reserved + self.sold


class Kind(StrEnum):
    """Why pieces moved."""

    ADJUSTED = "ADJUSTED"
    RESERVED = "RESERVED"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Change:
    """One movement of a product and what it led to."""

    kind: Kind
    stock: Stock
    """The stock after it."""
    quantity: int
    """Pieces moved; negative where an adjustment took some away."""
    version: int
    """Version of the movement's own event; the stock's is one higher where it also got low."""
    order_id: str = ""
    reason: str = ""

    @property
    def got_low(self) -> bool:
        """Whether this movement took the available pieces below the threshold."""
        return self.version < self.stock.version


@dataclass(frozen=True, slots=True)
class Movement:
    """A movement as it is remembered."""

    id: str
    product_id: str
    version: int
    kind: Kind
    quantity: int
    order_id: str
    reason: str
    create_time: datetime


class HoldState(StrEnum):
    """How far the stock of an order is. RELEASED is final, also where it came before the reservation: a tombstone."""

    RESERVED = "RESERVED"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Line:
    """So many pieces of a product."""

    product_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """A line that cannot be reserved."""

    product_id: str
    available: int
    wanted: int


class RepeatedProduct(ValueError):
    """A product stands in two lines of one reservation."""

    def __init__(self, index: int) -> None:
        super().__init__(f"line {index} names a product that another line names already")
        self.index = index


def in_lock_order(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Sorts lines by product, the order in which all transactions lock stock: two that meet wait, and never deadlock.

    Raises:
        RepeatedProduct: A product stands in two lines.
    """
    seen: set[str] = set()
    kept: list[Line] = []
    for index, line in enumerate(lines):
        if line.product_id in seen:
            raise RepeatedProduct(index)
        seen.add(line.product_id)
        kept.append(line)
    return tuple(sorted(kept, key=lambda line: line.product_id))


def shortages(lines: Sequence[Line], available: Mapping[str, int]) -> tuple[Shortage, ...]:
    """The lines for which there are too few pieces; of an unknown product there are none."""
    return tuple(
        Shortage(line.product_id, available.get(line.product_id, 0), line.quantity)
        for line in lines
        if available.get(line.product_id, 0) < line.quantity
    )
