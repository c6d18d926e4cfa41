"""What may become of an order: `decide` turns a command into events. Pure; the time, ids and prices are arguments.

State and `evolve` stand in state.py, events in events.py; nothing but an event ever changes an order. What happens
between placing and the end is the checkout's: saga.py decides from the same state, in the same events.
"""

from dataclasses import dataclass
from typing import assert_never

from mesh.money import Money
from services.order.events import (
    CancellationRequested,
    Cause,
    Change,
    CheckoutTimedOut,
    Line,
    OrderDelivered,
    OrderPlaced,
    OrderShipped,
    RefundRequested,
    Shipment,
)
from services.order.state import CalledOff, Declined, Order, OutOfStock, Payment, State, TimedOut, total_of


@dataclass(frozen=True, slots=True)
class Cancel:
    """Call it off."""

    reason: str
    requested_by: str


@dataclass(frozen=True, slots=True)
class RefundMoney:
    """Give money back."""

    refund_id: str
    amount: Money | None
    """None: all that is left."""
    reason: str
    requested_by: str


@dataclass(frozen=True, slots=True)
class Ship:
    """It was handed to a carrier."""

    shipment: Shipment


@dataclass(frozen=True, slots=True)
class Deliver:
    """It has arrived."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It took too long."""


Command = Cancel | RefundMoney | Ship | Deliver | GiveUp


class Refused(Exception):
    """A command that the order's state does not allow.

    Refused
    ├── WrongState       not in this state
    └── BeyondCaptured   more money than there is to give back
    """


class WrongState(Refused):
    """The order is in a state that does not allow it."""

    def __init__(self, order: Order, sentence: str) -> None:
        super().__init__(sentence)
        self.state = order.state


class BeyondCaptured(Refused):
    """A refund of more than is left of what was taken."""

    def __init__(self, refundable: Money) -> None:
        super().__init__(f"at most {refundable} can still be given back")
        self.refundable = refundable


def place(order_id: str, user_id: str, lines: tuple[Line, ...]) -> OrderPlaced:
    """Places an order: the first event of its stream.

    Raises:
        CurrencyMismatch: The prices are in several currencies.
        InvalidAmount: The total is more than can be stored.
    """
    total_of(lines)
    return OrderPlaced(order_id, user_id, lines)


def decide(order: Order, command: Command) -> tuple[Change, ...]:
    """What a command leads to; nothing where it was carried out before.

    Raises:
        WrongState: The order's state does not allow it.
        BeyondCaptured: More would be given back than was taken.
        CurrencyMismatch: A refund is in another currency than the order.
    """
    match command:
        case Cancel():
            return _cancel(order, command)
        case RefundMoney():
            return _refund(order, command)
        case Ship():
            return _ship(order, command)
        case Deliver():
            return _deliver(order)
        case GiveUp():
            # Once the capture is meant, money may have been taken: then only its answer decides.
            before_the_pivot = order.ending is None and order.payment in {Payment.UNASKED, Payment.WANTED}
            return (CheckoutTimedOut(),) if before_the_pivot else ()
        case _:
            assert_never(command)


def give_back(order: Order, amount: Money, reason: str, requested_by: str) -> RefundRequested:
    """The refund that comes with a cancellation."""
    return RefundRequested("", len(order.refunds) + 1, amount, reason, Cause.CANCELLATION, requested_by)


def _cancel(order: Order, command: Cancel) -> tuple[Change, ...]:
    match order.ending:
        case CalledOff():
            return ()
        case OutOfStock() | Declined() | TimedOut():
            raise WrongState(order, "the order is rejected; nothing was charged")
        case None if order.state in {State.PENDING, State.CONFIRMED}:
            cancelled = CancellationRequested(command.reason, command.requested_by)
            if not (rest := order.refundable):
                return (cancelled,)
            return (cancelled, give_back(order, rest, command.reason, command.requested_by))
        case None:
            raise WrongState(order, "the order was shipped and cannot be called off")
        case _:
            assert_never(order.ending)


def _refund(order: Order, command: RefundMoney) -> tuple[Change, ...]:
    if order.payment is not Payment.CAPTURED:
        raise WrongState(order, "nothing was charged, so nothing can be given back")
    amount = order.refundable if command.amount is None else command.amount
    if not Money.zero(amount.currency) < amount <= order.refundable:
        raise BeyondCaptured(order.refundable)
    number = len(order.refunds) + 1
    return (RefundRequested(command.refund_id, number, amount, command.reason, Cause.DECISION, command.requested_by),)


def _ship(order: Order, command: Ship) -> tuple[Change, ...]:
    if order.shipment == command.shipment:
        return ()
    if order.state is not State.CONFIRMED or order.ending is not None:
        raise WrongState(order, "only a confirmed order that nobody called off can be shipped")
    return (OrderShipped(command.shipment),)


def _deliver(order: Order) -> tuple[Change, ...]:
    if order.state is State.DELIVERED:
        return ()
    if order.state is not State.SHIPPED:
        raise WrongState(order, "only a shipped order can be delivered")
    return (OrderDelivered(),)
