"""Stripe when something goes wrong: what was not sent, whose answer was lost, and what a day later is forgotten."""

import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from stripe import WebhookSignature

from mesh.ids import uuid7
from mesh.money import Money
from services.payment.providers.port import (
    Account,
    Authorization,
    Declined,
    NotDone,
    Operation,
    OutcomeUnknown,
    Report,
    Request,
    SignatureInvalid,
    Statement,
)
from services.payment.providers.stripe import Stripe
from tests.payment.stripe_servers import API_KEY, RememberingStripe
from tests.ports import free_port

TWENTY = Money("EUR", 2000)
NOTHING = Money.zero("EUR")
SECRET = "whsec_for_tests"
ORDER = uuid7()
ACCOUNT = Account(order_id=ORDER, reference="pi_1", currency="EUR")


def request(operation: Operation, reference: str = "", key: str = "") -> Request:
    return Request(
        key=key or f"{ORDER}:{operation.value}",
        operation=operation,
        order_id=ORDER,
        reference=reference,
        amount=TWENTY,
    )


@pytest.fixture
async def stripe(remembering_stripe: RememberingStripe) -> AsyncIterator[Stripe]:
    provider = Stripe(api_key=API_KEY, webhook_secret=SECRET, api_base=remembering_stripe.url)
    yield provider
    await provider.close()


async def authorize(stripe: Stripe, card: str = "pm_card_visa") -> str:
    held = await stripe.authorize(key=f"{ORDER}:authorize", order_id=ORDER, token=card, amount=TWENTY)
    return held.reference


async def taken(stripe: Stripe) -> str:
    reference = await authorize(stripe)
    await stripe.capture(key="c", reference=reference, amount=TWENTY)
    return reference


async def test_stripe_mock_judges_every_request(stripe: Stripe, remembering_stripe: RememberingStripe) -> None:
    async with httpx.AsyncClient(
        base_url=remembering_stripe.url, headers={"authorization": f"Bearer {API_KEY}"}
    ) as raw:
        refused = await raw.post("/v1/payment_intents", data={"amount": "20", "currency": "eur", "colour": "red"})
    await taken(stripe)

    assert refused.status_code == 400
    assert remembering_stripe.seen == ["create", "confirm", "capture"]


async def test_what_never_left_is_not_done() -> None:
    away = Stripe(api_key=API_KEY, webhook_secret=SECRET, api_base=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NotDone):
        await authorize(away)
    with pytest.raises(NotDone):
        await away.capture(key="c", reference="pi_1", amount=TWENTY)
    with pytest.raises(NotDone):
        await away.is_done(request(Operation.CAPTURE, "pi_1"))
    with pytest.raises(NotDone):
        await away.statements([ACCOUNT])
    await away.close()


async def test_a_lost_creation_holds_nothing_and_is_made_again(
    stripe: Stripe, remembering_stripe: RememberingStripe
) -> None:
    remembering_stripe.lose.append("create")
    with pytest.raises(NotDone):
        await authorize(stripe)

    assert await authorize(stripe) == "pi_1"
    assert remembering_stripe.statuses == ["requires_capture"]


async def test_an_authorization_whose_answer_was_lost_is_found_by_its_order(
    stripe: Stripe, remembering_stripe: RememberingStripe
) -> None:
    remembering_stripe.lose.append("confirm")
    with pytest.raises(OutcomeUnknown):
        await authorize(stripe)

    for lags in (True, False):
        remembering_stripe.index_lags = lags
        assert await stripe.find_authorization(request(Operation.AUTHORIZE)) == Authorization("pi_1")
    remembering_stripe.forget_keys()
    assert await stripe.find_authorization(request(Operation.AUTHORIZE)) == Authorization("pi_1")
    assert remembering_stripe.statuses == ["requires_capture"]


@pytest.mark.parametrize("known_by", ["its key", "search, a day later"])
async def test_a_void_finds_the_hold_whose_answer_was_lost(
    stripe: Stripe, remembering_stripe: RememberingStripe, known_by: str
) -> None:
    remembering_stripe.lose.append("confirm")
    with pytest.raises(OutcomeUnknown):
        await authorize(stripe)
    if known_by == "its key":
        remembering_stripe.index_lags = True
    else:
        remembering_stripe.forget_keys()

    await stripe.void(key="v", order_id=ORDER, reference="", amount=TWENTY)

    assert remembering_stripe.statuses == ["canceled"]
    assert await stripe.is_done(request(Operation.VOID))


async def test_a_capture_whose_answer_was_lost_is_known(stripe: Stripe, remembering_stripe: RememberingStripe) -> None:
    reference = await authorize(stripe)
    remembering_stripe.lose.append("capture")
    with pytest.raises(OutcomeUnknown):
        await stripe.capture(key="c", reference=reference, amount=TWENTY)

    assert await stripe.is_done(request(Operation.CAPTURE, reference))


async def test_a_capture_that_is_repeated_a_day_later_takes_nothing_again(
    stripe: Stripe, remembering_stripe: RememberingStripe
) -> None:
    reference = await taken(stripe)
    remembering_stripe.forget_keys()

    await stripe.capture(key="c", reference=reference, amount=TWENTY)

    assert remembering_stripe.intents[reference]["amount_received"] == 2000


async def test_a_refund_that_is_repeated_a_day_later_gives_nothing_again(
    stripe: Stripe, remembering_stripe: RememberingStripe
) -> None:
    reference = await taken(stripe)
    remembering_stripe.lose.append("refund")
    with pytest.raises(OutcomeUnknown):
        await stripe.refund(key="r", order_id=ORDER, reference=reference, amount=Money("EUR", 700))
    assert await stripe.is_done(request(Operation.REFUND, reference, "r"))
    remembering_stripe.forget_keys()

    await stripe.refund(key="r", order_id=ORDER, reference=reference, amount=Money("EUR", 700))

    said = await stripe.statements([ACCOUNT])
    assert said[ORDER] == Statement(held=NOTHING, taken=TWENTY, given_back=Money("EUR", 700))


async def test_a_refund_that_failed_later_is_declined(stripe: Stripe, remembering_stripe: RememberingStripe) -> None:
    reference = await taken(stripe)
    await stripe.refund(key="r", order_id=ORDER, reference=reference, amount=TWENTY)
    remembering_stripe.refunds[0].update(status="failed", failure_reason="expired_or_canceled_card")

    with pytest.raises(Declined, match="expired_or_canceled_card"):
        await stripe.is_done(request(Operation.REFUND, reference, "r"))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (409, {"error": {"type": "invalid_request_error", "code": "idempotency_key_in_use"}}, OutcomeUnknown),
        (500, {"error": {"type": "api_error"}}, OutcomeUnknown),
        (503, {}, OutcomeUnknown),
        (429, {"error": {"type": "invalid_request_error", "code": "rate_limit"}}, NotDone),
        (401, {"error": {"type": "invalid_request_error"}}, NotDone),
        (403, {"error": {"type": "invalid_request_error"}}, NotDone),
    ],
)
async def test_each_status_means_one_thing(
    stripe: Stripe,
    remembering_stripe: RememberingStripe,
    status: int,
    body: dict[str, Any],
    expected: type[Exception],
) -> None:
    reference = await authorize(stripe)
    remembering_stripe.refuse["capture"] = (status, body)

    with pytest.raises(expected):
        await stripe.capture(key="c", reference=reference, amount=TWENTY)


async def test_silence_is_an_unknown_outcome(remembering_stripe: RememberingStripe) -> None:
    hasty = Stripe(
        api_key=API_KEY, webhook_secret=SECRET, api_base=remembering_stripe.url, timeout=timedelta(microseconds=1)
    )
    with pytest.raises(OutcomeUnknown):
        await hasty.capture(key="c", reference="pi_1", amount=TWENTY)
    await hasty.close()


async def test_another_card_under_the_same_key_finds_what_the_first_one_did(
    stripe: Stripe, remembering_stripe: RememberingStripe
) -> None:
    await authorize(stripe)

    with pytest.raises(OutcomeUnknown):
        await authorize(stripe, "pm_card_mastercard")

    assert await stripe.find_authorization(request(Operation.AUTHORIZE)) == Authorization("pi_1")


async def test_a_hold_that_expired_can_not_be_taken(stripe: Stripe, remembering_stripe: RememberingStripe) -> None:
    reference = await authorize(stripe)
    remembering_stripe.intents[reference].update(status="canceled", cancellation_reason="automatic")

    with pytest.raises(Declined, match="automatic"):
        await stripe.capture(key="c", reference=reference, amount=TWENTY)


async def test_an_amount_finer_than_stripes_smallest_unit_is_declined(
    stripe: Stripe, remembering_stripe: RememberingStripe
) -> None:
    with pytest.raises(Declined, match="amount_not_chargeable"):
        await stripe.authorize(key="k", order_id=ORDER, token="pm_card_visa", amount=Money("KWD", 12345))

    assert remembering_stripe.seen == []


async def test_stripe_is_asked_once_a_request(stripe: Stripe, remembering_stripe: RememberingStripe) -> None:
    reference = await authorize(stripe)
    remembering_stripe.refuse["capture"] = (503, {})
    with pytest.raises(OutcomeUnknown):
        await stripe.capture(key="c", reference=reference, amount=TWENTY)

    assert remembering_stripe.seen.count("capture") == 1


def event(order_id: str = ORDER, **changes: Any) -> dict[str, Any]:
    """What Stripe reports of an intent."""
    told = {"id": "pi_1", "object": "payment_intent", "metadata": {"order_id": order_id}}
    good = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": told}}
    return {**good, **changes}


def signed(body: bytes, *, secret: str = SECRET, age: int = 0) -> dict[str, str]:
    header = WebhookSignature.generate_signature_header(body.decode(), secret, int(time.time()) - age)
    return {"stripe-signature": header}


async def test_a_signed_report_is_read_from_the_bytes_that_came(stripe: Stripe) -> None:
    body = json.dumps(event(), indent=3).encode() + b"  "

    assert stripe.read_report(body, signed(body)) == Report("evt_1", "payment_intent.succeeded", ORDER)


async def test_a_report_about_no_order_of_ours_is_about_none(stripe: Stripe) -> None:
    body = json.dumps(event(data={"object": {"object": "payout"}})).encode()

    assert stripe.read_report(body, signed(body)).order_id == ""


@pytest.mark.parametrize("case", ["another secret", "too old", "unsigned", "malformed", "changed", "odd header", "odd"])
async def test_a_report_that_stripe_did_not_sign_is_refused(stripe: Stripe, case: str) -> None:
    body = json.dumps(event()).encode()
    headers = {
        "another secret": signed(body, secret="whsec_guessed"),
        "too old": signed(body, age=301),
        "unsigned": {},
        "malformed": {"stripe-signature": "t=yesterday,v1=abc"},
        "odd header": {"stripe-signature": f"t={int(time.time())},v1=\u00e9"},
    }.get(case, signed(body))
    body = {"changed": body + b" ", "odd": b"\xff\xfe"}.get(case, body)

    with pytest.raises(SignatureInvalid):
        stripe.read_report(body, headers)


@pytest.mark.parametrize("body", [b"[]", b"{", b"{}", b'{"id": 1, "object": "event"}', b'"text"', b"null"])
async def test_a_signed_report_that_is_no_event_is_malformed(stripe: Stripe, body: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as malformed:
        stripe.read_report(body, signed(body))

    assert not isinstance(malformed.value, SignatureInvalid)
