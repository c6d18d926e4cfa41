"""The checkout: from an order's state to what a neighbour is asked next, and from the answer to events. Pure.

    reserve ── authorize ── CAPTURE ── commit ── CONFIRMED          forward
       │           │           │
    release <──── void      (declined: release)                     before the pivot: undone, then REJECTED or CANCELLED
       └────────────────── refund <── cancel, whenever money was taken

An intent is an event: the one that makes a step due (StockReserved for the authorization, PaymentAuthorized for the
capture) is committed before the neighbour is asked. So whoever reads the history knows what may have happened, and asks
again under the same key until the answer is known. Capture is the pivot: from the moment it is meant, nothing is undone
before its answer has come, and once it has succeeded there is no way but forward or a refund.
"""

from dataclasses import dataclass
from typing import assert_never

from mesh.money import Money
from services.order.domain import give_back
from services.order.events import (
    Change,
    Line,
    OrderCancelled,
    OrderConfirmed,
    OrderRejected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    RefundMade,
    RefundRefused,
    Shortage,
    StockCommitted,
    StockRefused,
    StockReleased,
    StockReserved,
)
from services.order.state import CalledOff, Ending, Order, Payment, Stock

# Steps: what a neighbour is asked. Their names are the second half of the idempotency key.


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold the pieces of all lines, or of none."""

    lines: tuple[Line, ...]
    name: str = "reserve"


@dataclass(frozen=True, slots=True)
class Authorize:
    """Hold the amount on the card."""

    user_id: str
    amount: Money
    name: str = "authorize"


@dataclass(frozen=True, slots=True)
class Capture:
    """Take the money: the pivot."""

    name: str = "capture"


@dataclass(frozen=True, slots=True)
class Commit:
    """Turn the held pieces into sold ones."""

    name: str = "commit"


@dataclass(frozen=True, slots=True)
class Void:
    """Give up the hold on the card; where there is none yet, there never will be."""

    name: str = "void"


@dataclass(frozen=True, slots=True)
class Release:
    """Give the pieces back, held or sold; where none are held yet, none ever will be."""

    name: str = "release"


@dataclass(frozen=True, slots=True)
class Refund:
    """Give money back."""

    number: int
    amount: Money
    reason: str

    @property
    def name(self) -> str:
        """Each refund has a key of its own."""
        return f"refund:{self.number}"


Step = Reserve | Authorize | Capture | Commit | Void | Release | Refund

# Replies: what is known for sure. An answer that is not known is no reply; the step is asked again.


@dataclass(frozen=True, slots=True)
class Reserved:
    """The pieces are held."""


@dataclass(frozen=True, slots=True)
class TooFew:
    """Nothing is held: there is too little."""

    shortages: tuple[Shortage, ...]


@dataclass(frozen=True, slots=True)
class Authorized:
    """The amount is held on the card."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class CardDeclined:
    """Nothing is held on the card, and nothing was taken."""

    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """The money was taken."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The pieces are sold."""


@dataclass(frozen=True, slots=True)
class Voided:
    """Nothing is held on the card."""


@dataclass(frozen=True, slots=True)
class Released:
    """No pieces are held."""


@dataclass(frozen=True, slots=True)
class Refunded:
    """The money was given back."""

    number: int


@dataclass(frozen=True, slots=True)
class RefundDenied:
    """Payment will not give this money back, however often it is asked."""

    number: int
    reason: str


Reply = (
    Reserved | TooFew | Authorized | CardDeclined | Captured | Committed | Voided | Released | Refunded | RefundDenied
)


def next_step(order: Order) -> Step | None:
    """What is to be asked now; None where the order is at rest."""
    match order:
        # The pivot, first because it outranks every wish to stop: it is asked until it is known.
        case Order(payment=Payment.HELD):
            return Capture()

        # Forward.
        case Order(ending=None, stock=Stock.WANTED):
            return Reserve(order.lines)
        case Order(ending=None, payment=Payment.WANTED):
            return Authorize(order.user_id, order.total)
        case Order(ending=None, stock=Stock.HELD):
            return Commit()

        # Money on its way back: a refund somebody asked for, or that of a cancellation.
        case Order(open_refund=refund) if refund is not None:
            return Refund(refund.number, refund.amount, refund.reason)

        # Backward, in reverse order.
        case Order(ending=ending, payment=Payment.WANTED) if ending is not None:
            return Void()
        case Order(ending=ending, stock=Stock.WANTED | Stock.HELD | Stock.SOLD) if ending is not None:
            return Release()

        case _:
            return None


def react(order: Order, reply: Reply) -> tuple[Change, ...]:  # noqa: PLR0911, PLR0912 - one case a reply
    """What follows from the reply to `next_step(order)`; nothing where it contradicts what this order is owed.

    With nothing the step stays due and is asked again: two ledgers disagree, and a person has to look.
    """
    match reply:
        case Reserved():
            return (StockReserved(),)
        case TooFew(shortages):
            return (StockRefused(shortages), OrderRejected())
        case Authorized(payment_id):
            return (PaymentAuthorized(payment_id),)
        case CardDeclined(reason):
            return (PaymentDeclined(reason),)
        case Captured():
            taken = PaymentCaptured(order.total)
            match order.ending:
                case CalledOff(reason, requested_by=who):  # somebody called it off while the money was being taken
                    return (taken, give_back(order, order.total, reason, who))
                case _:
                    return (taken,)
        case Committed():
            return (StockCommitted(), OrderConfirmed())
        case Voided():
            return (PaymentVoided(),)
        case Released():
            return (StockReleased(), _outcome(order.ending))
        case Refunded(number):
            return (RefundMade(number),)
        case RefundDenied(number, reason):
            # Whoever calls an order off is owed all of it: there is no giving up.
            return () if order.ending else (RefundRefused(number, reason),)
        case _:
            assert_never(reply)


def needs_card(order: Order) -> bool:
    """Whether the token that stands for the card may still be needed; where not, it is erased."""
    return order.ending is None and order.payment in {Payment.UNASKED, Payment.WANTED}


def _outcome(ending: Ending | None) -> OrderCancelled | OrderRejected:
    return OrderCancelled() if isinstance(ending, CalledOff) else OrderRejected()
