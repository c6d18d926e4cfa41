"""The checkout: every reply in every state, and every way an order can go, walked to its end."""

from collections import deque
from dataclasses import replace
from typing import Final

import pytest

from services.order.domain import Cancel, Command, Deliver, GiveUp, RefundMoney, Refused, Ship, decide
from services.order.events import (
    CancellationRequested,
    Cause,
    Change,
    CheckoutTimedOut,
    Event,
    OrderCancelled,
    OrderConfirmed,
    OrderRejected,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    RefundMade,
    RefundRefused,
    RefundRequested,
    Shipment,
    Shortage,
    StockCommitted,
    StockRefused,
    StockReleased,
    StockReserved,
)
from services.order.saga import (
    Authorize,
    Authorized,
    Capture,
    Captured,
    CardDeclined,
    Commit,
    Committed,
    Refund,
    RefundDenied,
    Refunded,
    Release,
    Released,
    Reply,
    Reserve,
    Reserved,
    Step,
    TooFew,
    Void,
    Voided,
    needs_card,
    next_step,
    react,
)
from services.order.state import Order, Payment, RefundState, State, Stock
from tests.order.given import BUYER, CUP, NOON, PLACED, TEA, TOTAL, after, euros, given

SHORT: Final = (Shortage(TEA.product_id, "1 available, 2 wanted"),)
CALLED_OFF: Final = CancellationRequested("no", BUYER)
TIMED_OUT: Final = CheckoutTimedOut()
RESERVED: Final = (PLACED, StockReserved())
AUTHORIZED: Final = (*RESERVED, PaymentAuthorized("p1"))
CAPTURED: Final = (*AUTHORIZED, PaymentCaptured(TOTAL))
CONFIRMED: Final = (*CAPTURED, StockCommitted(), OrderConfirmed())
PART: Final = RefundRequested("r1", 1, euros("5.00"), "broken", Cause.DECISION, BUYER)
ALL: Final = RefundRequested("", 1, TOTAL, "no", Cause.CANCELLATION, BUYER)
REST: Final = RefundRequested("", 2, euros("16.00"), "no", Cause.CANCELLATION, BUYER)

RESERVE: Final = Reserve((TEA, CUP))
AUTHORIZE: Final = Authorize(BUYER, TOTAL)
REFUND_PART: Final = Refund(1, euros("5.00"), "broken")
REFUND_ALL: Final = Refund(1, TOTAL, "no")

TABLE: Final[list[tuple[tuple[Event, ...], Step | None, dict[Reply, tuple[Change, ...]]]]] = [
    # forward
    (
        (PLACED,),
        RESERVE,
        {Reserved(): (StockReserved(),), TooFew(SHORT): (StockRefused(SHORT), OrderRejected())},
    ),
    (
        RESERVED,
        AUTHORIZE,
        {Authorized("p1"): (PaymentAuthorized("p1"),), CardDeclined("stolen"): (PaymentDeclined("stolen"),)},
    ),
    (
        AUTHORIZED,
        Capture(),
        {Captured(): (PaymentCaptured(TOTAL),), CardDeclined("expired"): (PaymentDeclined("expired"),)},
    ),
    (CAPTURED, Commit(), {Committed(): (StockCommitted(), OrderConfirmed())}),
    (CONFIRMED, None, {}),
    # the card is declined, or nobody decides: what was held is given back
    ((*RESERVED, PaymentDeclined("stolen")), Release(), {Released(): (StockReleased(), OrderRejected())}),
    ((*AUTHORIZED, PaymentDeclined("expired")), Release(), {Released(): (StockReleased(), OrderRejected())}),
    ((PLACED, TIMED_OUT), Release(), {Released(): (StockReleased(), OrderRejected())}),
    ((*RESERVED, TIMED_OUT), Void(), {Voided(): (PaymentVoided(),)}),
    ((*RESERVED, TIMED_OUT, PaymentVoided()), Release(), {Released(): (StockReleased(), OrderRejected())}),
    # called off before the pivot
    ((PLACED, CALLED_OFF), Release(), {Released(): (StockReleased(), OrderCancelled())}),
    ((*RESERVED, CALLED_OFF), Void(), {Voided(): (PaymentVoided(),)}),
    ((*RESERVED, CALLED_OFF, PaymentVoided()), Release(), {Released(): (StockReleased(), OrderCancelled())}),
    # called off while the money is being taken: first it must be known whether it was
    (
        (*AUTHORIZED, CALLED_OFF),
        Capture(),
        {Captured(): (PaymentCaptured(TOTAL), ALL), CardDeclined("expired"): (PaymentDeclined("expired"),)},
    ),
    (
        (*AUTHORIZED, CALLED_OFF, PaymentDeclined("expired")),
        Release(),
        {Released(): (StockReleased(), OrderCancelled())},
    ),
    # called off after the money was taken: it goes back, then the pieces do
    (
        (*CAPTURED, CALLED_OFF, ALL),
        REFUND_ALL,
        {Refunded(1): (RefundMade(1),), RefundDenied(1, "STATE_CONFLICT"): ()},
    ),
    (
        (*CONFIRMED, CALLED_OFF, ALL),
        REFUND_ALL,
        {Refunded(1): (RefundMade(1),), RefundDenied(1, "STATE_CONFLICT"): ()},
    ),
    ((*CONFIRMED, CALLED_OFF, ALL, RefundMade(1)), Release(), {Released(): (StockReleased(), OrderCancelled())}),
    # a refund that was asked for
    (
        (*CONFIRMED, PART),
        REFUND_PART,
        {
            Refunded(1): (RefundMade(1),),
            RefundDenied(1, "REFUND_EXCEEDS_CAPTURED"): (RefundRefused(1, "REFUND_EXCEEDS_CAPTURED"),),
        },
    ),
    ((*CAPTURED, PART), Commit(), {Committed(): (StockCommitted(), OrderConfirmed())}),
    (
        (*CONFIRMED, PART, CALLED_OFF, REST),
        REFUND_PART,
        {Refunded(1): (RefundMade(1),), RefundDenied(1, "STATE_CONFLICT"): ()},
    ),
    ((*CONFIRMED, PART, RefundRefused(1, "STATE_CONFLICT")), None, {}),
    # the end
    ((PLACED, StockRefused(SHORT), OrderRejected()), None, {}),
    ((PLACED, CALLED_OFF, StockReleased(), OrderCancelled()), None, {}),
]


@pytest.mark.parametrize(("history", "step", "replies"), TABLE)
def test_a_state_asks_one_step_and_each_reply_leads_on(
    history: tuple[Event, ...], step: Step | None, replies: dict[Reply, tuple[Change, ...]]
) -> None:
    order = given(*history)
    assert next_step(order) == step
    assert {reply: react(order, reply) for reply in replies} == replies


def test_every_step_has_a_key_of_its_own() -> None:
    steps: list[Step] = [
        RESERVE,
        AUTHORIZE,
        Capture(),
        Commit(),
        Void(),
        Release(),
        REFUND_ALL,
        replace(REFUND_ALL, number=2),
    ]
    assert len({step.name for step in steps}) == len(steps)


@pytest.mark.parametrize(
    ("history", "needed"),
    [
        ((PLACED,), True),
        (RESERVED, True),
        (AUTHORIZED, False),
        ((*RESERVED, PaymentDeclined("stolen")), False),
        ((PLACED, CALLED_OFF), False),
        ((*RESERVED, TIMED_OUT), False),
        (CONFIRMED, False),
    ],
)
def test_the_card_is_known_no_longer_than_needed(history: tuple[Event, ...], needed: bool) -> None:
    assert needs_card(given(*history)) is needed


def replies_to(step: Step) -> list[Reply]:
    """Whatever a neighbour may say for sure."""
    match step:
        case Reserve():
            return [Reserved(), TooFew(SHORT)]
        case Authorize():
            return [Authorized("p1"), CardDeclined("stolen")]
        case Capture():
            return [Captured(), CardDeclined("expired")]
        case Commit():
            return [Committed()]
        case Void():
            return [Voided()]
        case Release():
            return [Released()]
        case Refund(number=number):
            return [Refunded(number), RefundDenied(number, "STATE_CONFLICT")]


COMMANDS: Final[list[Command]] = [
    Cancel("no", BUYER),
    RefundMoney("r1", euros("5.00"), "broken", BUYER),
    RefundMoney("r2", None, "broken", BUYER),
    Ship(Shipment("DHL", "42")),
    Deliver(),
    GiveUp(),
]


def driven(order: Order) -> Order:
    """The order at rest, where every neighbour does as it is asked."""
    asked = list[str]()
    while (step := next_step(order)) is not None:
        asked.append(step.name)
        assert len(asked) == len(set(asked)), f"{asked} asks a step again whose answer is known"
        order = after(order, *react(order, replies_to(step)[0]))
    return order


def ways_on(order: Order) -> list[Order]:
    """Every order that this one can become by one reply or one command."""
    step = next_step(order)
    outcomes = [react(order, reply) for reply in (replies_to(step) if step else [])]
    for command in COMMANDS:
        if isinstance(command, RefundMoney) and len(order.refunds) >= 2:
            continue  # two refunds show all there is to see, and keep the walk finite
        try:
            outcomes.append(decide(order, command))
        except Refused:
            continue
    return [after(order, *changes) for changes in outcomes if changes]


def all_ways() -> list[tuple[Order, list[Order]]]:
    """Every order there can be, without regard to time, and what each can become."""

    def timeless(order: Order) -> Order:
        return replace(order, version=0, updated_at=NOON)

    seen, waiting = {timeless(given(PLACED))}, deque([given(PLACED)])
    walked = []
    while waiting:
        order = waiting.popleft()
        following = ways_on(order)
        walked.append((order, following))
        for each in following:
            if timeless(each) not in seen:
                seen.add(timeless(each))
                waiting.append(each)
    return walked


WAYS: Final = all_ways()


def test_the_walk_is_worth_the_name() -> None:
    assert {order.state for order, _ in WAYS} == set(State)
    assert len(WAYS) > 100


def test_no_end_contradicts_what_was_done_for_it() -> None:
    for order, _ in WAYS:
        match order.state:
            case State.REJECTED:
                assert order.stock is Stock.FREE
                assert order.payment in {Payment.UNASKED, Payment.FREE}
                assert not order.captured
            case State.CANCELLED:
                assert order.stock is Stock.FREE
                assert order.payment in {Payment.UNASKED, Payment.FREE, Payment.CAPTURED}
                assert order.refunded == order.captured
            case State.CONFIRMED | State.SHIPPED | State.DELIVERED:
                assert order.captured == order.total
                assert order.stock is Stock.SOLD or order.ending is not None
            case State.PENDING:
                assert next_step(order) is not None, "nobody would ever decide it"


def test_an_end_is_an_end() -> None:
    for order, following in WAYS:
        if order.state.is_terminal:
            assert all(each.state is order.state for each in following)


def test_never_more_is_given_back_than_was_taken() -> None:
    for order, _ in WAYS:
        assert euros("0.00") <= order.refunded <= order.captured
        assert order.refundable >= euros("0.00")


def test_nothing_is_undone_while_it_is_unknown_whether_the_money_was_taken() -> None:
    for order, _ in WAYS:
        if order.payment is Payment.HELD:
            assert next_step(order) == Capture()


def test_after_the_money_was_taken_it_goes_forward_or_back_to_the_buyer() -> None:
    for order, _ in WAYS:
        if order.payment is Payment.CAPTURED:
            assert not isinstance(next_step(order), Reserve | Authorize | Capture | Void)


def test_every_order_comes_to_rest_when_its_neighbours_answer() -> None:
    for start, _ in WAYS:
        end = driven(start)
        assert end.state is not State.PENDING
        assert all(refund.state is not RefundState.OPEN for refund in end.refunds)


def test_before_it_is_shipped_an_order_can_always_be_called_off() -> None:
    for start, _ in WAYS:
        if start.state in {State.PENDING, State.CONFIRMED} and start.ending is None:
            end = driven(after(start, *decide(start, Cancel("no", BUYER))))
            assert end.state is State.CANCELLED
            assert end.refunded == end.captured
