"""The payment service with Stripe as its provider, over the wire: checkouts, crashes, reports."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.type import money_pb2
from sqlalchemy import text
from stripe import WebhookSignature

from mesh.errors import MeshError, Unavailable
from mesh.money import Money
from services.payment.__main__ import build
from services.payment.settings import PaymentSettings
from tests.harness import Harness, ServiceUnderTest, refused
from tests.payment.given import Looking, Order, attempts, discrepancies, events, left_open, row
from tests.payment.stripe_servers import API_KEY, RememberingStripe
from zoco.payment.v1 import payment_pb2
from zoco.payment.v1 import payment_service_pb2 as service
from zoco.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

State = payment_pb2.Payment
VISA = "pm_card_visa"
TWENTY = Money("EUR", 2000)
SECRET = "whsec_for_tests"

_numbers = itertools.count()


def stripe_settings(server: RememberingStripe, provider: str = "stripe") -> dict[str, Any]:
    return {
        "ZOCO_PAYMENT_PROVIDER": provider,
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": server.url,
    }


@pytest.fixture
async def payments(harness: Harness, remembering_stripe: RememberingStripe) -> AsyncIterator[ServiceUnderTest]:
    values = stripe_settings(remembering_stripe)
    async with harness.running("payment", build, settings=PaymentSettings, **values) as running:
        yield running


class Reporter:
    """Stripe, as it calls the shop's webhook."""

    def __init__(self, payments: ServiceUnderTest) -> None:
        self._stub = PaymentServiceStub(payments.channel())

    async def report(self, order: Order, kind: str = "payment_intent.succeeded", *, event_id: str = "") -> Any:
        told = {"object": "payment_intent", "metadata": {"order_id": order.id}}
        event = {"id": event_id or f"evt_{next(_numbers)}", "object": "event", "type": kind, "data": {"object": told}}
        body = json.dumps(event)
        signature = WebhookSignature.generate_signature_header(body, SECRET, int(time.time()))
        request = service.HandleWebhookRequest(
            provider="stripe", body=HttpBody(content_type="application/json", data=body.encode())
        )
        return await self._stub.HandleWebhook(request, metadata=(("stripe-signature", signature),))


@pytest.fixture
def stripe_reports(payments: ServiceUnderTest) -> Reporter:
    return Reporter(payments)


async def reports_taken(payments: ServiceUnderTest) -> int:
    async with payments.database.reading() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM webhook_event"))).scalar_one())


async def test_a_checkout_with_its_refunds(
    payments: ServiceUnderTest, order: Order, remembering_stripe: RememberingStripe, looking: Looking
) -> None:
    held = await order.authorize(VISA)
    taken = await order.capture()
    part = await order.refund(12)
    with pytest.raises(MeshError, match="REFUND_EXCEEDS_CAPTURED"):
        await order.refund(9)
    whole = await order.refund(8)
    outcome = await looking.round()

    assert (held.state, held.provider, taken.state) == (State.AUTHORIZED, "stripe", State.CAPTURED)
    assert (part.refunded_amount.units, whole.refunded_amount.units) == (12, 20)
    assert [each["amount"] for each in remembering_stripe.refunds] == [1200, 800]
    assert (outcome.compared, outcome.found) == (1, 0)


async def test_a_declined_card_is_declined_with_stripes_reason(
    order: Order, remembering_stripe: RememberingStripe
) -> None:
    for key in ("a", "b"):
        with pytest.raises(MeshError) as declined:
            await order.authorize("pm_card_visa_chargeDeclinedInsufficientFunds", key=key)
        assert declined.value.metadata["decline_reason"] == "insufficient_funds"
    with pytest.raises(MeshError, match="STATE_CONFLICT"):
        await order.capture()

    assert remembering_stripe.seen.count("confirm") == 1


async def test_twenty_calls_at_once_move_money_once(order: Order, remembering_stripe: RememberingStripe) -> None:
    async def persistently(call: Any, *arguments: Any) -> None:
        while True:
            try:
                await call(*arguments)
            except Unavailable:
                await asyncio.sleep(0.01)
            else:
                return

    await asyncio.gather(*(persistently(order.authorize, VISA) for _ in range(20)))
    await asyncio.gather(*(persistently(order.capture) for _ in range(20)))

    assert remembering_stripe.statuses == ["succeeded"]
    assert remembering_stripe.intents["pi_1"]["amount_received"] == 2000


@pytest.mark.parametrize("lost", ["create", "confirm", "capture", "refund", "cancel"])
async def test_a_lost_answer_is_looked_up_and_nothing_happens_twice(
    payments: ServiceUnderTest, order: Order, remembering_stripe: RememberingStripe, lost: str
) -> None:
    remembering_stripe.lose.append(lost)
    if lost == "create":  # which holds nothing yet, and is made again by whoever asks again
        with pytest.raises(MeshError, match="DEPENDENCY_UNAVAILABLE"):
            await order.authorize(VISA)
    await order.authorize(VISA)
    if lost == "cancel":
        await order.void()
    else:
        await order.capture()
        await order.refund(5)

    assert remembering_stripe.statuses == ["canceled" if lost == "cancel" else "succeeded"]
    assert len(remembering_stripe.refunds) == (0 if lost == "cancel" else 1)
    assert set((await attempts(payments, order)).values()) == {"DONE"}


@pytest.mark.parametrize("a_day_later", [False, True])
async def test_what_was_left_open_is_settled_a_day_later_too(
    payments: ServiceUnderTest,
    order: Order,
    remembering_stripe: RememberingStripe,
    looking: Looking,
    a_day_later: bool,
) -> None:
    """The authorization's answer was lost and Stripe could not be asked; the process died before it asked again."""
    remembering_stripe.lose.append("confirm")
    remembering_stripe.refuse["retrieve"] = (503, {})
    with pytest.raises(MeshError, match="DEPENDENCY_UNAVAILABLE"):
        await order.authorize(VISA)
    del remembering_stripe.refuse["retrieve"]
    if a_day_later:
        remembering_stripe.forget_keys()

    assert (await looking.round()).settled == 1
    assert (await row(payments, order)).state == "AUTHORIZED"

    key = await left_open(payments, order, "capture")
    provider = looking.provider
    await provider.capture(key=key, reference="pi_1", amount=TWENTY)
    if a_day_later:
        remembering_stripe.forget_keys()
    assert (await looking.round()).settled == 1

    key = await left_open(payments, order, "refund:r1", units=20)
    await provider.refund(key=key, order_id=order.id, reference="pi_1", amount=TWENTY)
    if a_day_later:
        remembering_stripe.forget_keys()
    assert (await looking.round()).settled == 1

    assert (await order.refund(20, key="r1")).refunded_amount.units == 20
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured", "PaymentRefunded"]
    assert len(remembering_stripe.refunds) == 1
    assert await discrepancies(payments) == []


async def test_a_cancelled_order_whose_authorization_is_not_known_holds_nothing(
    payments: ServiceUnderTest, order: Order, remembering_stripe: RememberingStripe, looking: Looking
) -> None:
    remembering_stripe.lose.append("confirm")
    remembering_stripe.refuse["retrieve"] = (503, {})
    remembering_stripe.index_lags = True
    with pytest.raises(MeshError):
        await order.authorize(VISA)
    del remembering_stripe.refuse["retrieve"]

    assert (await order.void()).state == State.VOIDED
    await looking.round()

    assert remembering_stripe.statuses == ["canceled"]
    assert await attempts(payments, order) == {"authorize": "REFUSED", "void": "DONE"}
    with pytest.raises(MeshError, match="STATE_CONFLICT"):
        await order.authorize(VISA)


async def test_a_payment_stays_with_the_provider_that_made_it(
    harness: Harness, remembering_stripe: RememberingStripe
) -> None:
    before = stripe_settings(remembering_stripe, "sandbox")
    async with harness.running("payment", build, settings=PaymentSettings, **before) as first:
        old = Order(first)
        await old.authorize("tok_visa")
        url = first.database_url
    after = stripe_settings(remembering_stripe)
    async with harness.running("payment", build, settings=PaymentSettings, database_url=url, **after) as second:
        again, new = Order(second), Order(second)
        again.id, again.user_id = old.id, old.user_id
        assert (await again.capture()).provider == "sandbox"
        assert (await new.authorize(VISA)).provider == "stripe"

    assert remembering_stripe.seen == ["create", "confirm"]


async def test_a_report_settles_what_was_left_open(
    payments: ServiceUnderTest, order: Order, looking: Looking, stripe_reports: Reporter
) -> None:
    await order.authorize(VISA)
    key = await left_open(payments, order, "capture")
    await looking.provider.capture(key=key, reference="pi_1", amount=TWENTY)

    for _ in range(3):
        await stripe_reports.report(order, event_id="evt_same")

    assert (await row(payments, order)).state == "CAPTURED"
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured"]
    assert await reports_taken(payments) == 1


async def test_a_report_changes_no_money_by_itself(
    payments: ServiceUnderTest, order: Order, stripe_reports: Reporter
) -> None:
    await order.authorize(VISA)

    await stripe_reports.report(order, "payment_intent.succeeded")  # Stripe, when asked, knows nothing of it

    assert (await row(payments, order)).state == "AUTHORIZED"
    assert await discrepancies(payments) == []


async def test_a_refund_made_at_stripe_is_found_by_its_report(
    payments: ServiceUnderTest, order: Order, remembering_stripe: RememberingStripe, stripe_reports: Reporter
) -> None:
    await order.authorize(VISA)
    await order.capture()
    remembering_stripe.refunds.append(
        {"id": "re_9", "payment_intent": "pi_1", "amount": 300, "metadata": {}, "status": "succeeded"}
    )

    await stripe_reports.report(order, "charge.refunded")
    found = await discrepancies(payments)
    remembering_stripe.refunds[0]["status"] = "failed"
    await stripe_reports.report(order, "charge.refund.updated")

    assert found == [("GIVEN_BACK", "0.00 EUR", "3.00 EUR", False)]
    assert await discrepancies(payments) == [("GIVEN_BACK", "0.00 EUR", "3.00 EUR", True)]
    assert payments.running.runtime.registry.get_sample_value("payment_discrepancies") == 0


async def test_a_report_is_not_taken_while_stripe_can_not_be_asked(
    payments: ServiceUnderTest, order: Order, remembering_stripe: RememberingStripe, stripe_reports: Reporter
) -> None:
    await order.authorize(VISA)
    remembering_stripe.refuse["retrieve"] = (503, {})

    error = await refused(stripe_reports.report(order, event_id="evt_1"))

    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert await reports_taken(payments) == 0
    del remembering_stripe.refuse["retrieve"]
    await stripe_reports.report(order, event_id="evt_1")
    assert await reports_taken(payments) == 1


async def test_a_report_about_somebody_elses_payment_is_taken_and_no_more(
    payments: ServiceUnderTest, order: Order, remembering_stripe: RememberingStripe, stripe_reports: Reporter
) -> None:
    await stripe_reports.report(order)
    order.id = "not an id"
    await stripe_reports.report(order)

    assert await reports_taken(payments) == 2
    assert remembering_stripe.seen == []


async def test_yen_are_charged_as_yen(order: Order, remembering_stripe: RememberingStripe) -> None:
    await order.authorize(VISA, amount=money_pb2.Money(currency_code="JPY", units=1500))

    taken = await order.capture()

    assert taken.captured_amount.units == 1500
    assert remembering_stripe.intents["pi_1"]["amount_received"] == 1500
