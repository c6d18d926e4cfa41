"""What can happen to an order: the words of its history. Pure data; domain.py says what follows from them."""

from dataclasses import dataclass
from enum import StrEnum

from mesh.money import Money


@dataclass(frozen=True, slots=True)
class Line:
    """So many pieces of a product, as it was called and what it cost when the order was placed."""

    product_id: str
    name: str
    unit_price: Money
    quantity: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """A product of which there is too little."""

    product_id: str
    description: str
    """What inventory said, such as `3 available, 5 wanted`."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """How an order travels."""

    carrier: str
    tracking_number: str


class Cause(StrEnum):
    """Why money is given back."""

    DECISION = "DECISION"
    """An administrator's."""
    CANCELLATION = "CANCELLATION"


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """Somebody wants this. With it the reservation is meant."""

    order_id: str
    user_id: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class StockReserved:
    """The pieces are held. With it the authorization is meant."""


@dataclass(frozen=True, slots=True)
class StockRefused:
    """There is too little; nothing is held."""

    shortages: tuple[Shortage, ...]


@dataclass(frozen=True, slots=True)
class PaymentAuthorized:
    """The amount is held on the card. With it the capture is meant: from here on money may have been taken."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class PaymentDeclined:
    """The card was declined; nothing is held on it."""

    reason: str


@dataclass(frozen=True, slots=True)
class PaymentCaptured:
    """The money was taken: the pivot. With it the sale of the pieces is meant."""

    amount: Money


@dataclass(frozen=True, slots=True)
class PaymentVoided:
    """The hold on the card was given up, or will never be made."""


@dataclass(frozen=True, slots=True)
class StockCommitted:
    """The pieces are sold."""


@dataclass(frozen=True, slots=True)
class StockReleased:
    """The pieces are free again, or will never be held."""


@dataclass(frozen=True, slots=True)
class CheckoutTimedOut:
    """Nobody decided in time. What was done is undone."""


@dataclass(frozen=True, slots=True)
class CancellationRequested:
    """Somebody called the order off. What was done is undone."""

    reason: str
    requested_by: str
    """A user id: the buyer's or an administrator's."""


@dataclass(frozen=True, slots=True)
class RefundRequested:
    """Money shall be given back. With it the refund is meant."""

    refund_id: str
    """By which the call that asked for it finds it again; empty where it comes with a cancellation."""
    number: int
    """From 1, within the order; part of the key under which payment is asked."""
    amount: Money
    reason: str
    cause: Cause
    requested_by: str
    """A user id: who decided so, or who called the order off; empty where version 1 did not say."""


@dataclass(frozen=True, slots=True)
class RefundMade:
    """Money was given back."""

    number: int


@dataclass(frozen=True, slots=True)
class RefundRefused:
    """Payment refused a refund for good: its ledger says otherwise than ours."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class OrderConfirmed:
    """Paid and sold."""


@dataclass(frozen=True, slots=True)
class OrderRejected:
    """It could not be; nothing was charged, nothing is held."""


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """Called off; what was charged was given back, nothing is held."""


@dataclass(frozen=True, slots=True)
class OrderShipped:
    """On its way."""

    shipment: Shipment


@dataclass(frozen=True, slots=True)
class OrderDelivered:
    """Arrived."""


Change = (
    StockReserved
    | StockRefused
    | PaymentAuthorized
    | PaymentDeclined
    | PaymentCaptured
    | PaymentVoided
    | StockCommitted
    | StockReleased
    | CheckoutTimedOut
    | CancellationRequested
    | RefundRequested
    | RefundMade
    | RefundRefused
    | OrderConfirmed
    | OrderRejected
    | OrderCancelled
    | OrderShipped
    | OrderDelivered
)
"""What can happen to an order that is there."""

Event = OrderPlaced | Change
