"""What a payment is and how it may change. Pure: time, ids and the provider's answers are arguments."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from mesh.money import Money


class State(Enum):
    """Where a payment stands."""

    PENDING = "PENDING"
    """The provider was asked and has not answered for sure."""
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    VOIDED = "VOIDED"


class NotAllowed(Exception):
    """The payment's state does not allow this."""

    def __init__(self, state: State, wanted: str) -> None:
        super().__init__(f"a payment that is {state.value} cannot be {wanted}")
        self.state = state


class MoreThanCaptured(Exception):
    """More would be given back than was taken."""

    def __init__(self, refundable: Money) -> None:
        super().__init__(f"only {refundable} can be given back")
        self.refundable = refundable


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """The money of one order. Captured is never above amount, refunded never above captured."""

    id: str
    order_id: str
    user_id: str
    state: State
    provider: str
    amount: Money
    captured: Money
    refunded: Money
    decline_reason: str
    reference: str
    """What the provider calls it; empty until it was authorized."""
    version: int
    create_time: datetime
    update_time: datetime

    def authorized(self, reference: str, now: datetime) -> "Payment":
        """The payment once the amount is held.

        Raises:
            NotAllowed: It is not PENDING.
        """
        self._require(State.PENDING, "authorized")
        return self._next(now, state=State.AUTHORIZED, reference=reference)

    def declined(self, reason: str, now: datetime) -> "Payment":
        """The payment once the provider declined, to hold the amount or to take it.

        Raises:
            NotAllowed: It was captured, declined or voided.
        """
        if self.state not in (State.PENDING, State.AUTHORIZED):
            raise NotAllowed(self.state, "declined")
        return self._next(now, state=State.DECLINED, decline_reason=reason)

    def capturable(self) -> None:
        """Whether the amount can be taken.

        Raises:
            NotAllowed: Nothing is held.
        """
        self._require(State.AUTHORIZED, "captured")

    def captured_whole(self, now: datetime) -> "Payment":
        """The payment once the amount was taken. Raises NotAllowed as `capturable`."""
        self.capturable()
        return self._next(now, state=State.CAPTURED, captured=self.amount)

    def voidable(self) -> None:
        """Whether the hold can be given up.

        Raises:
            NotAllowed: The amount was taken: it can only be refunded.
        """
        if self.state is State.CAPTURED:
            raise NotAllowed(self.state, "voided")

    def voided(self, now: datetime) -> "Payment":
        """The payment once the hold was given up. Raises NotAllowed as `voidable`."""
        self.voidable()
        return self._next(now, state=State.VOIDED)

    def refundable(self, amount: Money, *, under_way: Money) -> None:
        """Whether so much can be given back while other refunds are under way.

        Raises:
            NotAllowed: Nothing was taken.
            MoreThanCaptured: Less is left.
            CurrencyMismatch: The amount is in another currency.
        """
        self._require(State.CAPTURED, "refunded")
        left = self.captured - self.refunded - under_way
        if amount > left:
            raise MoreThanCaptured(left)

    def refunded_by(self, amount: Money, now: datetime) -> "Payment":
        """The payment once so much was given back. Raises as `refundable`."""
        self.refundable(amount, under_way=Money.zero(amount.currency))
        return self._next(now, refunded=self.refunded + amount)

    def _require(self, state: State, wanted: str) -> None:
        if self.state is not state:
            raise NotAllowed(self.state, wanted)

    def _next(self, now: datetime, **changes: object) -> "Payment":
        return replace(self, version=self.version + 1, update_time=now, **changes)  # type: ignore[arg-type]  # each caller above names fields with their types


def new_payment(
    *, payment_id: str, order_id: str, user_id: str, provider: str, amount: Money, now: datetime
) -> Payment:
    """A payment of which nothing is known yet."""
    zero = Money.zero(amount.currency)
    return Payment(
        id=payment_id,
        order_id=order_id,
        user_id=user_id,
        state=State.PENDING,
        provider=provider,
        amount=amount,
        captured=zero,
        refunded=zero,
        decline_reason="",
        reference="",
        version=0,
        create_time=now,
        update_time=now,
    )
