"""What a payment may become, without I/O."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mesh.money import CurrencyMismatch, Money
from services.payment.domain import MoreThanCaptured, NotAllowed, Payment, State, new_payment

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LATER = datetime(2026, 5, 2, tzinfo=UTC)
TWENTY = Money("EUR", 2000)
NONE = Money.zero("EUR")


def payment(state: State = State.PENDING) -> Payment:
    fresh = new_payment(payment_id="p", order_id="o", user_id="u", provider="sandbox", amount=TWENTY, now=NOW)
    captured = TWENTY if state is State.CAPTURED else NONE
    return replace(fresh, state=state, captured=captured)


def test_a_checkout_goes_from_pending_over_authorized_to_captured() -> None:
    captured = payment().authorized("ref", LATER).captured_whole(LATER)

    assert (captured.state, captured.captured, captured.reference) == (State.CAPTURED, TWENTY, "ref")
    assert (captured.version, captured.create_time, captured.update_time) == (2, NOW, LATER)


@pytest.mark.parametrize("state", [each for each in State if each is not State.AUTHORIZED])
def test_only_what_is_held_can_be_taken(state: State) -> None:
    with pytest.raises(NotAllowed):
        payment(state).captured_whole(LATER)


@pytest.mark.parametrize("state", [State.PENDING, State.AUTHORIZED, State.DECLINED])
def test_what_was_not_taken_can_be_given_up(state: State) -> None:
    assert payment(state).voided(LATER).state is State.VOIDED


def test_what_was_taken_can_not_be_given_up_only_refunded() -> None:
    with pytest.raises(NotAllowed):
        payment(State.CAPTURED).voided(LATER)


@pytest.mark.parametrize("state", [State.CAPTURED, State.DECLINED, State.VOIDED])
def test_a_payment_that_is_decided_can_not_be_declined(state: State) -> None:
    with pytest.raises(NotAllowed):
        payment(state).declined("card_declined", LATER)


def test_refunds_add_up_to_what_was_captured_and_no_further() -> None:
    half = payment(State.CAPTURED).refunded_by(Money("EUR", 1200), LATER)

    assert half.refunded_by(Money("EUR", 800), LATER).refunded == TWENTY
    with pytest.raises(MoreThanCaptured) as refused:
        half.refunded_by(Money("EUR", 801), LATER)
    assert refused.value.refundable == Money("EUR", 800)


def test_refunds_that_are_under_way_count_as_given() -> None:
    with pytest.raises(MoreThanCaptured):
        payment(State.CAPTURED).refundable(Money("EUR", 1500), under_way=Money("EUR", 600))


def test_a_refund_in_another_currency_is_refused() -> None:
    with pytest.raises(CurrencyMismatch):
        payment(State.CAPTURED).refunded_by(Money("USD", 100), LATER)
