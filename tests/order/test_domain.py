"""What may become of an order: given a history, when a command comes, then these events or this refusal."""

import pytest

from mesh.money import CurrencyMismatch, Money
from services.order.domain import (
    BeyondCaptured,
    Cancel,
    Command,
    Deliver,
    GiveUp,
    RefundMoney,
    Ship,
    WrongState,
    decide,
    place,
)
from services.order.events import (
    CancellationRequested,
    Cause,
    CheckoutTimedOut,
    Event,
    Line,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderRejected,
    OrderShipped,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    RefundMade,
    RefundRefused,
    RefundRequested,
    Shipment,
    StockCommitted,
    StockRefused,
    StockReleased,
    StockReserved,
)
from services.order.state import CalledOff, State, fold
from tests.order.given import BUYER, CUP, NOON, ORDER, PLACED, TEA, TOTAL, after, euros, given, when

RESERVED = (PLACED, StockReserved())
AUTHORIZED = (*RESERVED, PaymentAuthorized("p1"))
CAPTURED = (*AUTHORIZED, PaymentCaptured(TOTAL))
CONFIRMED = (*CAPTURED, StockCommitted(), OrderConfirmed())
DHL = Shipment("DHL", "42")
SHIPPED = (*CONFIRMED, OrderShipped(DHL))
DELIVERED = (*SHIPPED, OrderDelivered())
DECLINED = (*RESERVED, PaymentDeclined("insufficient_funds"))
REJECTED = (*DECLINED, StockReleased(), OrderRejected())
ALL_BACK = RefundRequested("", 1, TOTAL, "no", Cause.CANCELLATION, BUYER)
CANCELLED = (*CONFIRMED, CancellationRequested("no", BUYER), ALL_BACK, RefundMade(1), StockReleased(), OrderCancelled())


def refund(amount: str | None) -> RefundMoney:
    return RefundMoney("r1", None if amount is None else euros(amount), "broken", BUYER)


def decision(number: int, amount: str) -> RefundRequested:
    return RefundRequested("r1", number, euros(amount), "broken", Cause.DECISION, BUYER)


def test_an_order_costs_the_sum_of_its_lines() -> None:
    assert given(PLACED).total == TOTAL


def test_an_order_is_placed_in_one_currency() -> None:
    with pytest.raises(CurrencyMismatch):
        place(ORDER, BUYER, (TEA, Line("p", "Sake", Money("JPY", 900), 1)))


def test_a_history_begins_with_the_placing() -> None:
    with pytest.raises(ValueError, match="begins with OrderPlaced"):
        fold([(StockReserved(), NOON)])


def test_an_order_is_placed_once() -> None:
    with pytest.raises(ValueError, match="placed twice"):
        fold([(PLACED, NOON), (PLACED, NOON)])


def test_no_history_is_no_order() -> None:
    assert fold([]) is None


@pytest.mark.parametrize(
    "history",
    [(PLACED,), RESERVED, AUTHORIZED],
    ids=["reserving", "authorizing", "capturing"],
)
def test_before_the_money_is_taken_a_cancel_is_only_noted(history: tuple[Event, ...]) -> None:
    assert when(given(*history), Cancel("changed my mind", BUYER)) == (CancellationRequested("changed my mind", BUYER),)


@pytest.mark.parametrize("history", [CAPTURED, CONFIRMED], ids=["captured", "confirmed"])
def test_after_the_money_was_taken_a_cancel_gives_all_of_it_back(history: tuple[Event, ...]) -> None:
    assert when(given(*history), Cancel("no", BUYER)) == (CancellationRequested("no", BUYER), ALL_BACK)


def test_a_cancel_after_a_partial_refund_gives_the_rest_back() -> None:
    order = given(*CONFIRMED, decision(1, "5.00"), RefundMade(1))
    assert when(order, Cancel("no", BUYER)) == (
        CancellationRequested("no", BUYER),
        RefundRequested("", 2, euros("16.00"), "no", Cause.CANCELLATION, BUYER),
    )


def test_a_cancel_after_a_whole_refund_gives_nothing_more_back() -> None:
    assert when(given(*CONFIRMED, decision(1, "21.00")), Cancel("no", BUYER)) == (CancellationRequested("no", BUYER),)


def test_a_cancelled_order_remembers_whether_it_had_been_confirmed() -> None:
    assert given(*CANCELLED).ending == CalledOff("no", was_confirmed=True, requested_by=BUYER)
    assert given(*CAPTURED, CancellationRequested("no", BUYER)).ending == CalledOff(
        "no", was_confirmed=False, requested_by=BUYER
    )


@pytest.mark.parametrize(
    ("history", "command"),
    [
        ((*CONFIRMED, CancellationRequested("no", BUYER)), Cancel("really", BUYER)),
        (CANCELLED, Cancel("really", BUYER)),
        (SHIPPED, Ship(DHL)),
        (DELIVERED, Ship(DHL)),
        (DELIVERED, Deliver()),
    ],
)
def test_what_was_done_before_changes_nothing(history: tuple[Event, ...], command: Command) -> None:
    assert when(given(*history), command) == ()


@pytest.mark.parametrize(
    ("history", "command"),
    [
        (SHIPPED, Cancel("late", BUYER)),
        (DELIVERED, Cancel("late", BUYER)),
        (DECLINED, Cancel("late", BUYER)),
        (REJECTED, Cancel("late", BUYER)),
        ((PLACED,), Ship(DHL)),
        (CAPTURED, Ship(DHL)),
        ((*CONFIRMED, CancellationRequested("no", BUYER)), Ship(DHL)),
        (CANCELLED, Ship(DHL)),
        (SHIPPED, Ship(Shipment("UPS", "7"))),
        (CONFIRMED, Deliver()),
        (CANCELLED, Deliver()),
        ((PLACED,), refund(None)),
        (AUTHORIZED, refund("1.00")),
        (REJECTED, refund("1.00")),
    ],
)
def test_what_the_state_does_not_allow_is_refused(history: tuple[Event, ...], command: Command) -> None:
    order = given(*history)
    with pytest.raises(WrongState) as refused:
        when(order, command)
    assert refused.value.state is order.state


def test_a_refund_is_an_event_before_it_is_made() -> None:
    order = given(*CONFIRMED)
    assert when(order, refund("5.00")) == (decision(1, "5.00"),)
    asked = after(order, decision(1, "5.00"))
    assert (asked.refunded, asked.refundable) == (euros("0.00"), euros("16.00"))
    made = after(asked, RefundMade(1))
    assert (made.refunded, made.refundable) == (euros("5.00"), euros("16.00"))


def test_a_refund_without_an_amount_is_all_that_is_left() -> None:
    assert when(given(*CONFIRMED, decision(1, "5.00")), refund(None)) == (decision(2, "16.00"),)


@pytest.mark.parametrize("state", [CONFIRMED, SHIPPED, DELIVERED])
def test_money_can_be_given_back_whenever_it_was_taken(state: tuple[Event, ...]) -> None:
    assert when(given(*state), refund("21.00")) == (decision(1, "21.00"),)


@pytest.mark.parametrize(
    ("history", "amount"),
    [
        (CONFIRMED, "21.01"),
        ((*CONFIRMED, decision(1, "5.00")), "16.01"),
        ((*CONFIRMED, decision(1, "5.00"), RefundMade(1)), "16.01"),
        ((*CONFIRMED, decision(1, "21.00")), None),
        (CONFIRMED, "0.00"),
        (CONFIRMED, "-1.00"),
        (CANCELLED, "0.01"),
        ((*CONFIRMED, CancellationRequested("no", BUYER), ALL_BACK), "0.01"),
    ],
)
def test_never_more_is_given_back_than_was_taken(history: tuple[Event, ...], amount: str | None) -> None:
    with pytest.raises(BeyondCaptured):
        when(given(*history), refund(amount))


def test_a_refund_that_payment_refused_can_be_asked_for_again() -> None:
    order = given(*CONFIRMED, decision(1, "21.00"), RefundRefused(1, "STATE_CONFLICT"))
    assert when(order, refund("21.00")) == (decision(2, "21.00"),)


def test_a_refund_is_in_the_currency_of_the_order() -> None:
    with pytest.raises(CurrencyMismatch):
        decide(given(*CONFIRMED), RefundMoney("r1", Money("USD", 100), "", BUYER))


@pytest.mark.parametrize("history", [(PLACED,), RESERVED])
def test_before_the_pivot_a_checkout_is_given_up(history: tuple[Event, ...]) -> None:
    assert when(given(*history), GiveUp()) == (CheckoutTimedOut(),)


@pytest.mark.parametrize(
    "history", [AUTHORIZED, CAPTURED, CONFIRMED, REJECTED, (PLACED, CancellationRequested("", BUYER))]
)
def test_from_the_pivot_on_nobody_gives_up(history: tuple[Event, ...]) -> None:
    assert when(given(*history), GiveUp()) == ()


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ((PLACED,), State.PENDING),
        (CAPTURED, State.PENDING),
        (CONFIRMED, State.CONFIRMED),
        ((*CONFIRMED, CancellationRequested("no", BUYER), ALL_BACK), State.CONFIRMED),
        (SHIPPED, State.SHIPPED),
        (DELIVERED, State.DELIVERED),
        (DECLINED, State.PENDING),
        (REJECTED, State.REJECTED),
        (CANCELLED, State.CANCELLED),
        ((PLACED, StockRefused(()), OrderRejected()), State.REJECTED),
    ],
)
def test_the_state_is_what_the_buyer_can_rely_on(history: tuple[Event, ...], state: State) -> None:
    assert given(*history).state is state


def test_an_order_counts_its_events_and_knows_its_times() -> None:
    order = given(*CONFIRMED)
    assert order.version == len(CONFIRMED)
    assert order.placed_at == NOON
    assert (order.updated_at - NOON).total_seconds() == len(CONFIRMED) - 1


def test_lines_keep_the_names_and_prices_of_their_day() -> None:
    assert given(*CONFIRMED).lines == (TEA, CUP)
