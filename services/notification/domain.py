"""What is said about which event, to whom it goes by mail: pure; ids and amounts are arguments."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from mesh.money import Money

_LINE_LENGTH: Final = 200
_LISTED_ITEMS: Final = 50
_DIRECTION_MARKS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Kind(Enum):
    """What a notification is about."""

    WELCOME = "WELCOME"
    ORDER_CONFIRMED = "ORDER_CONFIRMED"
    ORDER_REJECTED = "ORDER_REJECTED"
    ORDER_SHIPPED = "ORDER_SHIPPED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    ORDER_REFUNDED = "ORDER_REFUNDED"
    STOCK_LOW = "STOCK_LOW"


class ContactState(Enum):
    """What is known of a person's account."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"
    DELETED = "DELETED"


@dataclass(frozen=True, kw_only=True)
class Contact:
    """Our own copy of what mail needs to know of an account; empty once the account is deleted.

    `version` is that of the account's event it was taken from: an older event that comes later changes nothing.
    """

    user_id: str
    email: str | None
    display_name: str
    is_admin: bool
    state: ContactState
    version: int


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is to be said, before it is known to whom and when."""

    kind: Kind
    title: str
    body: str
    order_id: str | None = None
    product_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Notification:
    """What was said to a person.

    `sequence` numbers a person's notifications from 1, without gaps, in the order they were committed.
    """

    id: str
    user_id: str
    sequence: int
    draft: Draft
    create_time: datetime
    read_time: datetime | None


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """What goes out by mail beside the in-app stream."""

    email_enabled: bool = True
    muted_kinds: frozenset[Kind] = field(default_factory=frozenset)
    update_time: datetime | None = None

    def mails(self, kind: Kind) -> bool:
        """Whether a notification of that kind goes out by mail."""
        return self.email_enabled and kind not in self.muted_kinds


@dataclass(frozen=True)
class Line:
    """A line of an order."""

    name: str
    quantity: int


def welcome() -> Draft:
    """Said to a person who made an account. Names nobody: the mail greets by itself."""
    return Draft(
        kind=Kind.WELCOME,
        title="Welcome to Zoco",
        body="Your account is ready. You will find here what happens to your orders.",
    )


def order_confirmed(order_id: str, *, lines: Sequence[Line], total: Money) -> Draft:
    """Said to a buyer whose order is paid and held."""
    return Draft(
        kind=Kind.ORDER_CONFIRMED,
        title="Your order is confirmed",
        body=_paragraph(*_listed(lines), f"Total: {_amount(total)}", _order(order_id)),
        order_id=order_id,
    )


def order_rejected(order_id: str, *, reason: str, message: str) -> Draft:
    """Said to a buyer whose order could not be.

    Args:
        order_id: which order.
        reason: INSUFFICIENT_STOCK, PAYMENT_DECLINED or TIMED_OUT; others are told by their message.
        message: for a person.
    """
    why = {
        "INSUFFICIENT_STOCK": "There are too few pieces of something in it.",
        "PAYMENT_DECLINED": "The payment was declined.",
        "TIMED_OUT": "It could not be completed in time.",
    }.get(reason, one_line(message))
    return Draft(
        kind=Kind.ORDER_REJECTED,
        title="Your order could not be completed",
        body=_paragraph(why, "Nothing was charged.", _order(order_id)),
        order_id=order_id,
    )


def order_shipped(order_id: str, *, carrier: str, tracking_number: str) -> Draft:
    """Said to a buyer whose order is on its way."""
    return Draft(
        kind=Kind.ORDER_SHIPPED,
        title="Your order is on its way",
        body=_paragraph(
            f"Carrier: {one_line(carrier)}" if carrier else "",
            f"Tracking number: {one_line(tracking_number)}" if tracking_number else "",
            _order(order_id),
        ),
        order_id=order_id,
    )


def order_cancelled(order_id: str, *, reason: str, refunded: Money | None) -> Draft:
    """Said to a buyer whose order was called off."""
    money_back = refunded is not None and refunded.minor > 0
    return Draft(
        kind=Kind.ORDER_CANCELLED,
        title="Your order was cancelled",
        body=_paragraph(
            f"Reason: {one_line(reason)}" if reason else "",
            f"Given back: {_amount(refunded)}" if refunded is not None and money_back else "Nothing was charged.",
            _order(order_id),
        ),
        order_id=order_id,
    )


def order_refunded(order_id: str, *, amount: Money, in_all: Money, reason: str) -> Draft:
    """Said to a buyer who gets money back."""
    return Draft(
        kind=Kind.ORDER_REFUNDED,
        title="You get money back",
        body=_paragraph(
            f"Given back: {_amount(amount)}",
            f"In all so far: {_amount(in_all)}" if in_all != amount else "",
            f"Reason: {one_line(reason)}" if reason else "",
            _order(order_id),
        ),
        order_id=order_id,
    )


def stock_low(product_id: str, *, available: int, threshold: int) -> Draft:
    """Said to administrators when a product is running out."""
    return Draft(
        kind=Kind.STOCK_LOW,
        title="A product is running out",
        body=_paragraph(
            f"Pieces that can still be bought: {available}", f"Warning below: {threshold}", f"Product: {product_id}"
        ),
        product_id=product_id,
    )


def one_line(text: str) -> str:
    """What somebody else wrote, as one line of printable text.

    Control characters, line breaks and marks that turn the direction of writing become spaces, so that nobody can write
    lines of ours; runs of space shrink to one, and what is too long is cut.
    """
    plain = "".join(" " if _is_no_part_of_a_line(character) else character for character in text)
    line = " ".join(plain.split())
    return line if len(line) <= _LINE_LENGTH else line[: _LINE_LENGTH - 1] + "…"


def _is_no_part_of_a_line(character: str) -> bool:
    return character in _DIRECTION_MARKS or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


def _listed(lines: Sequence[Line]) -> list[str]:
    shown = [f"{line.quantity} x {one_line(line.name)}" for line in lines[:_LISTED_ITEMS]]
    if len(lines) > _LISTED_ITEMS:
        shown.append(f"and {len(lines) - _LISTED_ITEMS} more")
    return shown


def _paragraph(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _order(order_id: str) -> str:
    return f"Order: {order_id}"


def _amount(money: Money) -> str:
    return f"{money.decimal} {money.currency}"
