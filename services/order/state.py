"""What an order is: its state, and how each event changes it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum
from functools import partial
from typing import assert_never

from mesh.money import Money
from services.order.events import (
    CancellationRequested,
    Cause,
    Change,
    CheckoutTimedOut,
    Event,
    Line,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    RefundMade,
    RefundRefused,
    RefundRequested,
    Shipment,
    Shortage,
    StockCommitted,
    StockRefused,
    StockReleased,
    StockReserved,
)


class State(StrEnum):
    """Where an order stands for its buyer. Refunds are amounts, not states."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether no other state comes after it."""
        return self in {State.DELIVERED, State.REJECTED, State.CANCELLED}


class Stock(Enum):
    """How far the pieces are. WANTED is an intent: inventory may have been asked, and may have done it."""

    WANTED = "wanted"
    HELD = "held"
    SOLD = "sold"
    FREE = "free"


class Payment(Enum):
    """How far the money is. WANTED and HELD are intents: an authorization, a capture may have happened."""

    UNASKED = "unasked"
    WANTED = "wanted"
    HELD = "held"
    CAPTURED = "captured"
    FREE = "free"


# Why an order comes to nothing. What was done for it is undone, and then it is REJECTED or CANCELLED.


@dataclass(frozen=True, slots=True)
class OutOfStock:
    """There was too little."""

    shortages: tuple[Shortage, ...]


@dataclass(frozen=True, slots=True)
class Declined:
    """The card was declined."""

    reason: str
    """What the provider said."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody decided in time."""


@dataclass(frozen=True, slots=True)
class CalledOff:
    """Somebody did not want it any more."""

    reason: str
    was_confirmed: bool
    requested_by: str
    """Whoever it was: the buyer or an administrator, by user id."""


Rejection = OutOfStock | Declined | TimedOut
Ending = Rejection | CalledOff


class RefundState(Enum):
    """How far a refund is."""

    OPEN = "open"
    MADE = "made"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that is to be given back, or was, or that payment refused to give back."""

    id: str
    number: int
    amount: Money
    reason: str
    cause: Cause
    requested_by: str
    """Whose wish it is, by user id; empty where history does not say."""
    state: RefundState = RefundState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as its events tell it."""

    id: str
    user_id: str
    lines: tuple[Line, ...]
    total: Money
    version: int
    """How many events it is folded from."""
    placed_at: datetime
    updated_at: datetime
    state: State = State.PENDING
    stock: Stock = Stock.WANTED
    payment: Payment = Payment.UNASKED
    payment_id: str = ""
    captured: Money
    refunds: tuple[Refund, ...] = ()
    ending: Ending | None = None
    """Set as soon as the order is to come to nothing; `state` follows once everything is undone."""
    shipment: Shipment | None = None

    @property
    def refunded(self) -> Money:
        """What was given back."""
        return self._sum_of(refund for refund in self.refunds if refund.state is RefundState.MADE)

    @property
    def refundable(self) -> Money:
        """What was taken and is neither given back nor about to be: no refund may be larger."""
        return self.captured - self._sum_of(
            refund for refund in self.refunds if refund.state is not RefundState.REFUSED
        )

    @property
    def open_refund(self) -> Refund | None:
        """The first refund that is still to be made."""
        return next((refund for refund in self.refunds if refund.state is RefundState.OPEN), None)

    def _sum_of(self, refunds: Iterable[Refund]) -> Money:
        return sum((refund.amount for refund in refunds), start=Money.zero(self.total.currency))


def total_of(lines: Iterable[Line]) -> Money:
    """What lines cost together. There must be at least one.

    Raises:
        CurrencyMismatch: The prices are in several currencies.
        InvalidAmount: The total is more than can be stored.
    """
    first, *rest = (line.unit_price * line.quantity for line in lines)
    return sum(rest, start=first)


def begin(event: OrderPlaced, at: datetime) -> Order:
    """The order that a first event makes."""
    total = total_of(event.lines)
    return Order(
        id=event.order_id,
        user_id=event.user_id,
        lines=event.lines,
        total=total,
        captured=Money.zero(total.currency),
        version=1,
        placed_at=at,
        updated_at=at,
    )


def evolve(before: Order, event: Change, at: datetime) -> Order:  # noqa: C901, PLR0911, PLR0912 - one case an event
    """The order after something happened to it."""
    then = partial(replace, before, version=before.version + 1, updated_at=at)
    match event:
        case StockReserved():
            return then(stock=Stock.HELD, payment=Payment.WANTED)
        case StockRefused(shortages):
            return then(stock=Stock.FREE, ending=before.ending or OutOfStock(shortages))
        case PaymentAuthorized(payment_id):
            return then(payment=Payment.HELD, payment_id=payment_id)
        case PaymentDeclined(reason):
            return then(payment=Payment.FREE, ending=before.ending or Declined(reason))
        case PaymentCaptured(amount):
            return then(payment=Payment.CAPTURED, captured=amount)
        case PaymentVoided():
            return then(payment=Payment.FREE)
        case StockCommitted():
            return then(stock=Stock.SOLD)
        case StockReleased():
            return then(stock=Stock.FREE)
        case CheckoutTimedOut():
            return then(ending=before.ending or TimedOut())
        case CancellationRequested(reason, requested_by):
            called_off = CalledOff(reason, before.state is State.CONFIRMED, requested_by)
            return then(ending=before.ending or called_off)
        case RefundRequested(refund_id, number, amount, reason, cause, requested_by):
            refund = Refund(refund_id, number, amount, reason, cause, requested_by)
            return then(refunds=(*before.refunds, refund))
        case RefundMade(number):
            return then(refunds=_with(before.refunds, number, RefundState.MADE))
        case RefundRefused(number):
            return then(refunds=_with(before.refunds, number, RefundState.REFUSED))
        case OrderConfirmed():
            return then(state=State.CONFIRMED)
        case OrderRejected():
            return then(state=State.REJECTED)
        case OrderCancelled():
            return then(state=State.CANCELLED)
        case OrderShipped(shipment):
            return then(state=State.SHIPPED, shipment=shipment)
        case OrderDelivered():
            return then(state=State.DELIVERED)
        case _:
            assert_never(event)


def fold(history: Iterable[tuple[Event, datetime]], onto: Order | None = None) -> Order | None:
    """The order that a history tells, each event with its time; None where there is no history.

    Args:
        history: All events, or those that followed.
        onto: The order as it was before the first of them.

    Raises:
        ValueError: The history does not begin with OrderPlaced, or places the order twice.
    """
    order = onto
    for event, at in history:
        match event, order:
            case OrderPlaced(), None:
                order = begin(event, at)
            case OrderPlaced(), _:
                raise ValueError(f"order {event.order_id} is placed twice")
            case _, None:
                raise ValueError(f"a history begins with OrderPlaced, not with {type(event).__name__}")
            case _:
                order = evolve(order, event, at)
    return order


def _with(refunds: tuple[Refund, ...], number: int, state: RefundState) -> tuple[Refund, ...]:
    return tuple(replace(refund, state=state) if refund.number == number else refund for refund in refunds)
