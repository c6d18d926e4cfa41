"""Reports of the provider's: taken once, by its signature only, and what they tell is looked up."""

import hashlib
import hmac
import json
import time

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from sqlalchemy import text

from mesh import money
from mesh.ids import uuid7
from tests.harness import ServiceUnderTest
from tests.payment.given import SECRET, Looking, Order, events, left_open, row
from zoco.payment.v1 import payment_service_pb2 as service
from zoco.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

AMOUNT = money.Money("EUR", 2000)


def report(order_id: str, *, secret: str = SECRET, age: int = 0) -> tuple[HttpBody, tuple[tuple[str, str], ...]]:
    """A provider's report and its signature."""
    body = json.dumps({"id": "evt_1", "type": "payment.captured", "data": {"orderId": order_id}}).encode()
    stamp = int(time.time()) - age
    signature = hmac.new(secret.encode(), b"%d." % stamp + body, hashlib.sha256).hexdigest()
    return HttpBody(content_type="application/json", data=body), (("zoco-signature", f"t={stamp},v1={signature}"),)


async def test_a_report_is_taken_once_however_often_it_comes(payments: ServiceUnderTest) -> None:
    stub = PaymentServiceStub(payments.channel())
    body, headers = report(uuid7())

    for _ in range(3):
        await stub.HandleWebhook(service.HandleWebhookRequest(provider="sandbox", body=body), metadata=headers)

    async with payments.database.reading() as connection:
        taken = await connection.execute(text("SELECT count(*) FROM webhook_event"))
    assert taken.scalar_one() == 1


async def test_a_report_settles_what_was_left_open(payments: ServiceUnderTest, order: Order, looking: Looking) -> None:
    await order.authorize()
    key = await left_open(payments, order, "capture")
    await looking.provider.capture(key=key, reference=order.id, amount=AMOUNT)
    body, headers = report(order.id)

    await PaymentServiceStub(payments.channel()).HandleWebhook(
        service.HandleWebhookRequest(provider="sandbox", body=body), metadata=headers
    )

    assert (await row(payments, order)).state == "CAPTURED"
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured"]


@pytest.mark.parametrize("case", ["another secret", "too old", "unsigned", "malformed", "changed body"])
async def test_a_report_that_is_not_the_providers_is_refused(payments: ServiceUnderTest, case: str) -> None:
    body, headers = report(
        uuid7(), secret="guessed" if case == "another secret" else SECRET, age=600 * (case == "too old")
    )
    if case == "unsigned":
        headers = ()
    if case == "malformed":
        headers = (("zoco-signature", "t=yesterday,v1=abc"),)
    if case == "changed body":
        body.data += b" "

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await PaymentServiceStub(payments.channel()).HandleWebhook(
            service.HandleWebhookRequest(provider="sandbox", body=body), metadata=headers
        )

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
