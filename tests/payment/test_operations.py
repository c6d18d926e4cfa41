"""Holding, taking and giving back over the wire: whatever fails or comes twice, money moves once."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.type.money_pb2 import Money
from sqlalchemy import text

from mesh import money
from mesh.errors import Aborted, MeshError, from_rpc_error
from mesh.ids import uuid7
from tests.harness import ServiceUnderTest, Tokens
from tests.payment.given import TWENTY, Looking, Order, attempts, events, ledger, left_open, row
from zoco.payment.v1 import payment_pb2
from zoco.payment.v1 import payment_service_pb2 as service
from zoco.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

State = payment_pb2.Payment
AMOUNT = money.Money("EUR", 2000)


async def test_an_amount_is_held_and_taken(payments: ServiceUnderTest, order: Order) -> None:
    held = await order.authorize()
    taken = await order.capture()

    assert (held.state, taken.state) == (State.AUTHORIZED, State.CAPTURED)
    assert taken.captured_amount == TWENTY
    assert await ledger(payments, order) == [("AUTHORIZE", "OK"), ("CAPTURE", "OK")]
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured"]


async def test_every_step_may_be_repeated_under_its_key_and_under_another(
    payments: ServiceUnderTest, order: Order
) -> None:
    for key in ("a", "a", "b"):
        await order.authorize(key=key)
    for key in ("c", "c", "d"):
        await order.capture(key=key)

    assert await ledger(payments, order) == [("AUTHORIZE", "OK"), ("CAPTURE", "OK")]
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured"]


async def test_twenty_captures_at_once_take_the_money_once(payments: ServiceUnderTest, order: Order) -> None:
    await order.authorize()

    taken = await asyncio.gather(*(order.capture(key=f"k{number}") for number in range(20)))

    assert {each.state for each in taken} == {State.CAPTURED}
    assert await ledger(payments, order) == [("AUTHORIZE", "OK"), ("CAPTURE", "OK")]
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured"]


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("tok_declined", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_unheard_of", "invalid_token"),
    ],
)
async def test_a_declined_card_is_declined_for_good(
    payments: ServiceUnderTest, order: Order, card: str, reason: str
) -> None:
    for key in ("a", "a", "b"):
        with pytest.raises(MeshError) as declined:
            await order.authorize(card, key=key)
        assert declined.value.reason == "PAYMENT_DECLINED"
        assert declined.value.metadata == {"order_id": order.id, "decline_reason": reason}
    assert await events(payments) == ["PaymentDeclined"]
    with pytest.raises(MeshError, match="STATE_CONFLICT"):
        await order.capture()


async def test_a_provider_that_fails_once_is_unavailable_once(payments: ServiceUnderTest, order: Order) -> None:
    with pytest.raises(MeshError, match="DEPENDENCY_UNAVAILABLE"):
        await order.authorize("tok_error_once", key="a")

    assert (await order.authorize("tok_error_once", key="a")).state == State.AUTHORIZED


async def test_a_capture_whose_answer_is_lost_is_found_in_the_providers_book(
    payments: ServiceUnderTest, order: Order
) -> None:
    await order.authorize("tok_charged_then_timeout")

    taken = await order.capture()

    assert taken.state == State.CAPTURED
    assert await ledger(payments, order) == [("AUTHORIZE", "OK"), ("CAPTURE", "OK")]


async def test_a_slow_card_is_held_after_a_while(order: Order) -> None:
    before = time.monotonic()

    held = await order.authorize("tok_slow")

    assert held.state == State.AUTHORIZED
    assert time.monotonic() - before >= 0.2


@pytest.mark.parametrize("reached", [False, True], ids=["before the provider was asked", "before its answer was noted"])
@pytest.mark.parametrize("operation", ["authorize", "capture", "void", "refund:k"])
async def test_what_a_process_that_died_left_open_is_finished_by_the_repeat(
    payments: ServiceUnderTest, order: Order, looking: Looking, operation: str, reached: bool
) -> None:
    if operation == "authorize":
        with pytest.raises(MeshError):  # no effect, and the attempt stands
            await order.authorize("tok_error_once", key="k")
        key = f"{order.id}:authorize"
    else:
        await order.authorize()
        if operation == "refund:k":
            await order.capture()
        key = await left_open(payments, order, operation)
    asked = looking.provider
    repeat: dict[str, tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]], Any]] = {
        "authorize": (
            lambda: asked.authorize(key=key, order_id=order.id, token="tok_error_once", amount=AMOUNT),
            lambda: order.authorize("tok_error_once", key="k"),
            State.AUTHORIZED,
        ),
        "capture": (
            lambda: asked.capture(key=key, reference=order.id, amount=AMOUNT),
            lambda: order.capture(key="k"),
            State.CAPTURED,
        ),
        "void": (
            lambda: asked.void(key=key, order_id=order.id, reference=order.id, amount=AMOUNT),
            lambda: order.void(key="k"),
            State.VOIDED,
        ),
        "refund:k": (
            lambda: asked.refund(key=key, order_id=order.id, reference=order.id, amount=AMOUNT),
            lambda: order.refund(20, key="k"),
            State.CAPTURED,
        ),
    }
    effect, again, state = repeat[operation]
    if reached:
        await effect()

    answers = [await again(), await again()]

    assert answers[0] == answers[1]
    assert answers[0].state == state
    assert answers[0].refunded_amount.units == (20 if operation == "refund:k" else 0)
    assert set((await attempts(payments, order)).values()) == {"DONE"}
    kinds = [kind for kind, outcome in await ledger(payments, order) if outcome == "OK"]
    assert len(kinds) == len(set(kinds))
    published = await events(payments)
    assert len(published) == len(set(published))


async def test_a_void_of_a_declined_card_leaves_nothing_open(payments: ServiceUnderTest, order: Order) -> None:
    with pytest.raises(MeshError):
        await order.authorize("tok_declined")

    assert (await order.void()).state == State.DECLINED

    assert await attempts(payments, order) == {"authorize": "REFUSED"}


async def test_a_void_gives_the_hold_up_and_nothing_can_be_taken_after(
    payments: ServiceUnderTest, order: Order
) -> None:
    await order.authorize()

    for key in ("a", "a", "b"):
        assert (await order.void(key=key)).state == State.VOIDED

    with pytest.raises(MeshError, match="STATE_CONFLICT"):
        await order.capture()
    assert await events(payments) == ["PaymentAuthorized", "PaymentVoided"]


async def test_a_void_that_overtakes_its_authorization_sees_to_it_that_nothing_is_held(
    payments: ServiceUnderTest, order: Order
) -> None:
    assert (await order.void()).state == State.VOIDED

    with pytest.raises(MeshError, match="STATE_CONFLICT"):
        await order.authorize()
    assert await ledger(payments, order) == []


async def test_a_void_that_races_its_authorization_leaves_nothing_held(payments: ServiceUnderTest) -> None:
    async def race() -> Order:
        order = Order(payments)
        await asyncio.gather(order.authorize("tok_slow"), order.void(), return_exceptions=True)
        await order.void()
        return order

    for order in await asyncio.gather(*(race() for _ in range(5))):
        with pytest.raises(MeshError, match="STATE_CONFLICT"):
            await order.capture()
        assert ("CAPTURE", "OK") not in await ledger(payments, order)


async def test_what_was_taken_is_refunded_not_voided(order: Order) -> None:
    await order.authorize()
    await order.capture()

    with pytest.raises(MeshError, match="STATE_CONFLICT"):
        await order.void()


async def test_refunds_add_up_to_the_captured_amount(payments: ServiceUnderTest, order: Order) -> None:
    await order.authorize()
    await order.capture()

    once = await order.refund(12, key="r1")
    again = await order.refund(12, key="r1")
    with pytest.raises(MeshError) as refused:
        await order.refund(9, key="r2")
    whole = await order.refund(8, key="r3")

    assert once == again
    assert refused.value.reason == "REFUND_EXCEEDS_CAPTURED"
    assert refused.value.metadata["refundable"] == "8.00 EUR"
    assert whole.refunded_amount == TWENTY


async def test_concurrent_refunds_never_give_back_more_than_was_taken(payments: ServiceUnderTest, order: Order) -> None:
    await order.authorize()
    await order.capture()

    outcomes = await asyncio.gather(
        *(order.refund(7, key=f"r{number}") for number in range(10)), return_exceptions=True
    )

    given = [each for each in outcomes if not isinstance(each, BaseException)]
    assert len(given) == 2
    assert (await ledger(payments, order)).count(("REFUND", "OK")) == 2


async def test_one_refund_asked_for_ten_times_at_once_is_one(payments: ServiceUnderTest, order: Order) -> None:
    await order.authorize()
    await order.capture()

    async def persistently() -> Any:
        while True:
            try:
                return await order.refund(7, key="r")
            except Aborted:  # the first is still running
                await asyncio.sleep(0.01)

    answers = await asyncio.gather(*(persistently() for _ in range(10)))

    assert all(answer == answers[0] for answer in answers)
    assert answers[0].refunded_amount.units == 7
    assert (await ledger(payments, order)).count(("REFUND", "OK")) == 1
    assert (await events(payments)).count("PaymentRefunded") == 1


async def test_a_key_stands_for_one_amount_even_while_its_refund_is_open(
    payments: ServiceUnderTest, order: Order
) -> None:
    await order.authorize()
    await order.capture()
    await left_open(payments, order, "refund:r", units=15)

    with pytest.raises(MeshError, match="INVALID_FIELD"):
        await order.refund(7, key="r")


async def test_refunds_of_any_sizes_at_once_agree_with_the_providers_book(
    payments: ServiceUnderTest, order: Order, looking: Looking, rng: random.Random
) -> None:
    await order.authorize()
    await order.capture()
    sizes = [rng.randint(1, 9) for _ in range(12)]

    outcomes = await asyncio.gather(
        *(order.refund(units, key=f"r{number}", reason=f"number {number}") for number, units in enumerate(sizes)),
        return_exceptions=True,
    )

    given = sum(size for size, outcome in zip(sizes, outcomes, strict=True) if not isinstance(outcome, BaseException))
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(each, MeshError) and each.reason == "REFUND_EXCEEDS_CAPTURED" for each in refused)
    assert 20 - given < max(sizes)
    assert (await row(payments, order)).refunded == given * 100
    assert (await looking.round()).found == 0
    async with payments.database.reading() as connection:
        entries = await connection.execute(
            text("SELECT amount, reason, end_time FROM attempt WHERE operation LIKE 'refund:%' AND state = 'DONE'")
        )
        booked = entries.all()
    assert sum(entry.amount for entry in booked) == given * 100
    assert all(entry.reason.startswith("number ") and entry.end_time is not None for entry in booked)


@pytest.mark.parametrize(
    ("units", "currency", "reason"),
    [(0, "EUR", "INVALID_FIELD"), (-1, "EUR", "INVALID_FIELD"), (1, "USD", "CURRENCY_MISMATCH")],
)
async def test_a_refund_that_makes_no_sense_is_refused(order: Order, units: int, currency: str, reason: str) -> None:
    await order.authorize()
    await order.capture()

    with pytest.raises(MeshError) as refused:
        await order.refund(units, currency=currency)

    assert refused.value.reason == reason


async def test_another_amount_for_the_same_order_is_refused(order: Order) -> None:
    await order.authorize()

    with pytest.raises(MeshError, match="INVALID_FIELD"):
        await order.authorize(amount=Money(currency_code="EUR", units=21))


async def test_an_internal_call_without_a_key_is_refused(payments: ServiceUnderTest) -> None:
    stub = PaymentServiceStub(payments.channel("order"))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Capture(service.CaptureRequest(order_id=uuid7()))

    assert from_rpc_error(refused.value).field_violations[0].field == "idempotency-key"


@pytest.mark.parametrize("caller", ["edge", "notification", "inventory"])
async def test_nobody_but_order_may_take_money(payments: ServiceUnderTest, tokens: Tokens, caller: str) -> None:
    stub = PaymentServiceStub(payments.channel(caller, tokens.admin()))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Capture(service.CaptureRequest(order_id=uuid7()), metadata=(("idempotency-key", "k"),))

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_owner_and_administrator_see_a_payment_and_nobody_else(
    payments: ServiceUnderTest, tokens: Tokens, order: Order
) -> None:
    payment = await order.authorize()
    request = service.GetPaymentRequest(id=payment.id)

    assert (
        await PaymentServiceStub(payments.channel(token=tokens.customer(order.user_id))).GetPayment(request) == payment
    )
    assert await PaymentServiceStub(payments.channel(token=tokens.admin())).GetPayment(request) == payment
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await PaymentServiceStub(payments.channel(token=tokens.customer())).GetPayment(request)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_payments_are_listed_newest_first_page_by_page(payments: ServiceUnderTest, tokens: Tokens) -> None:
    orders = [Order(payments) for _ in range(5)]
    for number, order in enumerate(orders):
        await order.authorize()
        if number % 2:
            await order.capture()
    await Order(payments).void()  # a tombstone is no payment
    stub = PaymentServiceStub(payments.channel(token=tokens.admin()))

    request = service.ListPaymentsRequest(page_size=2)
    seen = []
    while True:
        page = await stub.ListPayments(request)
        seen += [each.order_id for each in page.payments]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert seen == [order.id for order in reversed(orders)]
    assert page.total_size == 5
    captured = await stub.ListPayments(service.ListPaymentsRequest(state=State.CAPTURED))
    assert {each.order_id for each in captured.payments} == {orders[1].id, orders[3].id}
    one = await stub.ListPayments(service.ListPaymentsRequest(order_id=orders[2].id))
    assert [each.order_id for each in one.payments] == [orders[2].id]
