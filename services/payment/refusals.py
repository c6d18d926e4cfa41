"""What payment refuses, in its callers' terms."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from mesh.errors import FailedPrecondition, FieldViolation, InvalidArgument, invalid_field
from mesh.money import CurrencyMismatch, Money
from services.payment.domain import MoreThanCaptured, NotAllowed, Payment, State


@contextmanager
def in_callers_terms() -> Iterator[None]:
    """Turns what the domain refuses into what callers may see.

    Raises:
        FailedPrecondition: STATE_CONFLICT; REFUND_EXCEEDS_CAPTURED.
        InvalidArgument: CURRENCY_MISMATCH.
    """
    try:
        yield
    except NotAllowed as refused:
        raise FailedPrecondition("STATE_CONFLICT", str(refused), metadata={"state": refused.state.value}) from refused
    except MoreThanCaptured as refused:
        raise FailedPrecondition(
            "REFUND_EXCEEDS_CAPTURED", str(refused), metadata={"refundable": str(refused.refundable)}
        ) from refused
    except CurrencyMismatch as refused:
        raise InvalidArgument(
            "CURRENCY_MISMATCH", str(refused), field_violations=[FieldViolation("amount", str(refused))]
        ) from refused


def as_authorized(payment: Payment) -> Payment:
    """A payment in answer to Authorize, in whatever state it is by now.

    Raises:
        FailedPrecondition: PAYMENT_DECLINED; STATE_CONFLICT where it was voided.
    """
    match payment.state:
        case State.AUTHORIZED | State.CAPTURED:
            return payment
        case State.DECLINED:
            raise declined(payment)
        case State.VOIDED | State.PENDING:
            raise FailedPrecondition(
                "STATE_CONFLICT",
                f"the payment of order {payment.order_id} was voided; nothing will be held",
                metadata={"state": payment.state.value},
            )
        case _:
            assert_never(payment.state)


def require_same(payment: Payment, user_id: str, amount: Money) -> None:
    """Checks that a repeat asks for what the order's payment is.

    Raises:
        InvalidArgument: It is of another amount or person.
    """
    if payment.user_id and (payment.user_id, payment.amount) != (user_id, amount):
        raise invalid_field("amount", f"order {payment.order_id} has a payment of another amount or person")


def declined(payment: Payment) -> FailedPrecondition:
    """The error for a card that the provider declined."""
    return FailedPrecondition(
        "PAYMENT_DECLINED",
        "the card was declined",
        metadata={"order_id": payment.order_id, "decline_reason": payment.decline_reason},
    )


def declined_refund(payment: Payment) -> FailedPrecondition:
    """The error for a refund that the provider declined."""
    left = payment.captured - payment.refunded
    return FailedPrecondition(
        "REFUND_EXCEEDS_CAPTURED", "the provider refused the refund", metadata={"refundable": str(left)}
    )
