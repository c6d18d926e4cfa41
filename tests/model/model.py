"""What a shop must do, as simply as it can be said: stock counts, a ledger of money, and where each order stands.

An order that is not decided when its call returns is under way: its outlook says what it will come to, and until the
test has waited for it, what depends on how far it is may only be compared within bounds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

DECLINED: Final = frozenset({"tok_declined", "tok_insufficient_funds", "tok_of_nobody"})
GOOD: Final = frozenset({"tok_visa", "tok_error_once", "tok_charged_then_timeout", "tok_slow"})


class Standing(StrEnum):
    """Where an order stands, as the contract names it."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class Refusal(Exception):
    """A command that must be refused, with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Product:
    """Pieces of one product."""

    price: int
    """In cents."""
    available: int
    held: int = 0
    sold: int = 0

    @property
    def received(self) -> int:
        return self.available + self.held + self.sold


@dataclass
class Order:
    """An order, and its money in cents."""

    lines: Mapping[str, int]
    total: int
    standing: Standing = Standing.PENDING
    outlook: Standing | None = None
    """What it is on its way to; None at rest."""
    refusal: str = ""
    """Why it is rejected."""
    captured: int = 0
    refunded: int = 0
    shipment: str = ""

    @property
    def may_be(self) -> set[Standing]:
        """Where it may be seen to stand now."""
        match self.outlook:
            case None:
                return {self.standing}
            case Standing.CANCELLED:
                return {Standing.PENDING, Standing.CONFIRMED, Standing.CANCELLED}
            case outlook:
                return {Standing.PENDING, outlook}


@dataclass
class Model:
    """The shop."""

    products: dict[str, Product] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)

    def sell(self, product_id: str, *, price: int, pieces: int) -> None:
        self.products[product_id] = Product(price, pieces)

    def adjust(self, product_id: str, delta: int) -> None:
        if self.products[product_id].available + delta < 0:
            raise Refusal("STOCK_BELOW_ZERO")
        self.products[product_id].available += delta

    def place(self, lines: Mapping[str, int], card: str) -> Order:
        """An order under way, whose pieces are held; or rejected, where there are too few."""
        total = sum(self.products[each].price * pieces for each, pieces in lines.items())
        if any(self.products[each].available < pieces for each, pieces in lines.items()):
            return Order(lines, total, Standing.REJECTED, refusal="INSUFFICIENT_STOCK")
        for each, pieces in lines.items():
            self.products[each].available -= pieces
            self.products[each].held += pieces
        if card in DECLINED:
            return Order(lines, total, outlook=Standing.REJECTED, refusal="PAYMENT_DECLINED")
        return Order(lines, total, outlook=Standing.CONFIRMED)

    def come_to_rest(self, order: Order, *, captured: int) -> None:
        """What the outlook of an order comes to; of one called off only its ledger knows whether it was charged."""
        match order.outlook:
            case Standing.CONFIRMED:
                self._move(order, sold=1)
                order.captured = order.total
            case Standing.REJECTED:
                self._move(order, available=1)
            case Standing.CANCELLED:
                was_sold = order.standing is Standing.CONFIRMED
                self._move(order, available=1, from_sold=was_sold)
                order.captured = order.refunded = order.total if was_sold else captured
            case _:
                return
        order.standing, order.outlook = order.outlook, None

    def cancel(self, order: Order) -> None:
        match order.standing, order.outlook:
            case (_, Standing.CANCELLED) | (Standing.CANCELLED, None):
                pass
            case (Standing.PENDING, Standing.CONFIRMED) | (Standing.CONFIRMED, None):
                order.outlook = Standing.CANCELLED
            case _:
                raise Refusal("STATE_CONFLICT")

    def refund(self, order: Order, amount: int | None) -> None:
        """Of an order at rest."""
        if not order.captured:
            raise Refusal("STATE_CONFLICT")
        left = order.captured - order.refunded
        wanted = left if amount is None else amount
        if not 0 < wanted <= left:
            raise Refusal("REFUND_EXCEEDS_CAPTURED")
        order.refunded += wanted

    def ship(self, order: Order, shipment: str) -> None:
        """Of an order at rest."""
        if order.shipment == shipment:
            return
        if order.standing is not Standing.CONFIRMED:
            raise Refusal("STATE_CONFLICT")
        order.standing, order.shipment = Standing.SHIPPED, shipment

    def deliver(self, order: Order) -> None:
        """Of an order at rest."""
        if order.standing not in {Standing.SHIPPED, Standing.DELIVERED}:
            raise Refusal("STATE_CONFLICT")
        order.standing = Standing.DELIVERED

    def under_way(self, product_id: str) -> list[Order]:
        """Orders of a product that are not at rest."""
        return [order for order in self.orders.values() if order.outlook is not None and product_id in order.lines]

    def giving_back(self, product_ids: Iterable[str]) -> list[Order]:
        """Those of them whose pieces will be free again, sooner or later."""
        found = (order for product_id in product_ids for order in self.under_way(product_id))
        return [order for order in found if order.outlook is not Standing.CONFIRMED]

    def _move(self, order: Order, *, sold: int = 0, available: int = 0, from_sold: bool = False) -> None:
        for each, pieces in order.lines.items():
            product = self.products[each]
            if from_sold:
                product.sold -= pieces
            else:
                product.held -= pieces
            product.sold += sold * pieces
            product.available += available * pieces
