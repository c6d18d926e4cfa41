"""What callers are told when an order cannot be what they want."""

from typing import assert_never

from mesh.errors import FailedPrecondition, FieldViolation, InvalidArgument, MeshError, Precondition
from mesh.money import CurrencyMismatch, Money
from services.order.domain import BeyondCaptured, Refused, WrongState
from services.order.state import CalledOff, Declined, Order, OutOfStock, State, TimedOut


def refusal(refused: Refused | CurrencyMismatch, order: Order) -> MeshError:
    """The error for a command that was refused."""
    match refused:
        case WrongState(state=state):
            return FailedPrecondition(
                "STATE_CONFLICT", str(refused), metadata={"state": state.value}, resource=("order", order.id)
            )
        case BeyondCaptured(refundable=refundable):
            return exceeds_captured(refundable)
        case CurrencyMismatch():
            paid = f"the order was paid in {order.total.currency}"
            return InvalidArgument(
                "CURRENCY_MISMATCH",
                paid,
                metadata={"currency": order.total.currency},
                field_violations=[FieldViolation("amount.currency_code", paid)],
            )
        case _:
            raise refused


def exceeds_captured(refundable: Money) -> MeshError:
    """The error for a refund of more than is left."""
    return FailedPrecondition(
        "REFUND_EXCEEDS_CAPTURED",
        f"at most {refundable} can still be given back",
        metadata={"refundable": str(refundable)},
    )


def rejection(order: Order) -> MeshError | None:
    """The error for whoever placed an order that was rejected; None for any other.

    One that timed out has had its answer long before; who asks again is shown the order.
    """
    if order.state is not State.REJECTED:
        return None
    match order.ending:
        case OutOfStock(shortages):
            return FailedPrecondition(
                "INSUFFICIENT_STOCK",
                f"too few pieces of {len(shortages)} of the products",
                metadata={"order_id": order.id},
                preconditions=[Precondition("STOCK", each.product_id, each.description) for each in shortages],
            )
        case Declined(reason):
            return FailedPrecondition(
                "PAYMENT_DECLINED",
                "the card was declined",
                metadata={"order_id": order.id, "decline_reason": reason},
            )
        case TimedOut() | CalledOff() | None:
            return None
        case _:
            assert_never(order.ending)
