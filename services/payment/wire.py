"""Between the contract and the domain: messages and events."""

from typing import Final

from mesh.money import Money
from mesh.wire import money_to_proto, timestamp_to_proto
from services.payment.domain import Payment, State
from zoco.payment.v1 import payment_events_pb2 as events
from zoco.payment.v1 import payment_pb2

_STATES: Final = {
    State.PENDING: payment_pb2.Payment.PENDING,
    State.AUTHORIZED: payment_pb2.Payment.AUTHORIZED,
    State.CAPTURED: payment_pb2.Payment.CAPTURED,
    State.DECLINED: payment_pb2.Payment.DECLINED,
    State.VOIDED: payment_pb2.Payment.VOIDED,
}
_FROM_PROTO: Final = {value: state for state, value in _STATES.items()}

Event = (
    events.PaymentAuthorized
    | events.PaymentCaptured
    | events.PaymentDeclined
    | events.PaymentVoided
    | events.PaymentRefunded
)


def state_from_proto(value: payment_pb2.Payment.State.ValueType) -> State | None:
    """Reads a state filter; None where none is asked for."""
    return _FROM_PROTO.get(value)


def payment_to_proto(payment: Payment) -> payment_pb2.Payment:
    """Renders a payment. What the provider calls it stays inside."""
    return payment_pb2.Payment(
        id=payment.id,
        order_id=payment.order_id,
        user_id=payment.user_id,
        state=_STATES[payment.state],
        provider=payment.provider,
        amount=money_to_proto(payment.amount),
        captured_amount=money_to_proto(payment.captured),
        refunded_amount=money_to_proto(payment.refunded),
        decline_reason=payment.decline_reason,
        create_time=timestamp_to_proto(payment.create_time),
        update_time=timestamp_to_proto(payment.update_time),
    )


def change_to_event(payment: Payment) -> Event | None:
    """The event that says how a payment came to stand where it does; None for one that is still open."""
    message = payment_to_proto(payment)
    match payment.state:
        case State.PENDING:
            return None
        case State.AUTHORIZED:
            return events.PaymentAuthorized(payment=message)
        case State.CAPTURED:
            return events.PaymentCaptured(payment=message)
        case State.DECLINED:
            return events.PaymentDeclined(payment=message)
        case State.VOIDED:
            return events.PaymentVoided(payment=message)


def refund_to_event(payment: Payment, amount: Money, reason: str) -> events.PaymentRefunded:
    """The event of a refund."""
    return events.PaymentRefunded(payment=payment_to_proto(payment), amount=money_to_proto(amount), reason=reason)
