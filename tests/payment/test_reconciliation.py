"""What a process left open when it died is settled, and what a provider's ledger contradicts is written down."""

import asyncio
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text

from mesh.clock import utc_now
from mesh.errors import MeshError
from mesh.money import Money
from services.payment.__main__ import build
from services.payment.providers.port import Account, OutcomeUnknown, Statement
from services.payment.reconciliation import Position
from services.payment.settings import PaymentSettings
from tests.fixtures.servers import until
from tests.harness import Harness, ServiceUnderTest
from tests.payment.given import (
    Looking,
    Order,
    attempts,
    discrepancies,
    events,
    left_open,
    row,
)

TWENTY = Money("EUR", 2000)


async def enter(payments: ServiceUnderTest, order: Order, operation: str, minor: int) -> None:
    """Writes into the sandbox's book behind everybody's back."""
    statement = text(
        "INSERT INTO sandbox.ledger (key, operation, reference, token, currency, amount, outcome, create_time)"
        " VALUES (:key, :operation, :order, '', 'EUR', :minor, 'OK', now())"
    )
    values = {"key": f"behind:{operation}", "operation": operation, "order": order.id, "minor": minor}
    async with payments.database.reading() as connection:
        await connection.execute(statement, values)


async def test_an_authorization_that_was_left_open_is_settled(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    with pytest.raises(MeshError):
        await order.authorize("tok_error_once")
    await looking.provider.authorize(
        key=f"{order.id}:authorize", order_id=order.id, token="tok_error_once", amount=TWENTY
    )

    outcome = await looking.round()

    assert (outcome.settled, outcome.left_open) == (1, 0)
    assert (await row(payments, order)).state == "AUTHORIZED"
    assert (await order.capture()).captured_amount.units == 20
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured"]


async def test_a_decline_that_was_left_open_is_settled(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    with pytest.raises(MeshError):
        await order.authorize("tok_error_once")
    await enter(payments, order, "VOID", 0)  # as a void does that was faster

    with pytest.raises(Exception, match="voided"):
        await looking.provider.authorize(
            key=f"{order.id}:authorize", order_id=order.id, token="tok_visa", amount=TWENTY
        )
    await looking.round()

    assert (await row(payments, order)).decline_reason == "voided"
    assert await attempts(payments, order) == {"authorize": "REFUSED"}
    assert await events(payments) == ["PaymentDeclined"]


async def test_a_capture_that_was_left_open_is_settled_once(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    await order.authorize("tok_charged_then_timeout")
    key = await left_open(payments, order, "capture")
    with pytest.raises(OutcomeUnknown):
        await looking.provider.capture(key=key, reference=order.id, amount=TWENTY)

    await asyncio.gather(looking.round(), looking.round())
    taken = await order.capture()

    assert taken.captured_amount.units == 20
    assert await attempts(payments, order) == {"authorize": "DONE", "capture": "DONE"}
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured"]


async def test_a_void_that_was_left_open_is_settled(payments: ServiceUnderTest, order: Order, looking: Looking) -> None:
    await order.authorize()
    key = await left_open(payments, order, "void")
    await looking.provider.void(key=key, order_id=order.id, reference=order.id, amount=TWENTY)

    await looking.round()

    assert (await row(payments, order)).state == "VOIDED"
    assert await events(payments) == ["PaymentAuthorized", "PaymentVoided"]


async def test_a_refund_that_was_left_open_is_settled_and_its_repeat_gives_nothing_again(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    await order.authorize()
    await order.capture()
    key = await left_open(payments, order, "refund:r1", units=7, reason="broken")
    await looking.provider.refund(key=key, order_id=order.id, reference=order.id, amount=Money("EUR", 700))

    await looking.round()
    again = await order.refund(7, key="r1", reason="broken")

    assert again.refunded_amount.units == 7
    assert (await row(payments, order)).refunded == 700
    assert await events(payments) == ["PaymentAuthorized", "PaymentCaptured", "PaymentRefunded"]
    async with payments.database.reading() as connection:
        told = await connection.execute(text("SELECT payload FROM outbox WHERE type LIKE '%PaymentRefunded'"))
        assert b"broken" in told.scalar_one()


async def test_a_refund_that_was_left_open_counts_as_given_until_it_is_known(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    await order.authorize()
    await order.capture()
    await left_open(payments, order, "refund:r1", units=15)

    with pytest.raises(MeshError, match="REFUND_EXCEEDS_CAPTURED"):
        await order.refund(6, key="r2")
    outcome = await looking.round()

    assert outcome.left_open == 1  # it never reached the provider; whoever wanted it asks again, under its key
    assert (await order.refund(15, key="r1")).refunded_amount.units == 15


async def test_an_attempt_that_nobody_can_want_any_more_is_closed(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    with pytest.raises(MeshError):
        await order.authorize("tok_error_once")
    await order.void()
    assert (await attempts(payments, order))["authorize"] == "STARTED"

    await looking.round()

    assert await attempts(payments, order) == {"authorize": "REFUSED", "void": "DONE"}
    assert (await row(payments, order)).state == "VOIDED"


async def test_an_attempt_that_was_just_begun_is_its_own_calls(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    await order.authorize()
    key = await left_open(payments, order, "capture")
    await looking.provider.capture(key=key, reference=order.id, amount=TWENTY)

    async with payments.database.reading() as connection:
        await connection.execute(text("UPDATE attempt SET create_time = now() + interval '90 seconds'"))
    await looking.round()

    assert (await attempts(payments, order))["capture"] == "STARTED"


@pytest.mark.parametrize(
    ("operation", "minor", "found"),
    [
        ("REFUND", 500, ("GIVEN_BACK", "0.00 EUR", "5.00 EUR")),
        ("CAPTURE", 100, ("TAKEN", "20.00 EUR", "21.00 EUR")),
    ],
)
async def test_a_contradiction_is_written_down_and_is_gone_when_it_is_gone(
    payments: ServiceUnderTest, order: Order, looking: Looking, operation: str, minor: int, found: tuple[str, ...]
) -> None:
    other = Order(payments)
    for each in (order, other):
        await each.authorize()
        await each.capture()
    await enter(payments, order, operation, minor)

    first, second = await looking.round(), await looking.round()

    assert (first.compared, first.found, second.found) == (2, 1, 0)
    assert await discrepancies(payments) == [(*found, False)]
    assert looking.gauge == 1
    assert (await row(payments, order)).refunded == 0  # it is written down, not acted upon

    async with payments.database.reading() as connection:
        await connection.execute(text("DELETE FROM sandbox.ledger WHERE key LIKE 'behind:%'"))
    third = await looking.round()

    assert third.resolved == 1
    assert await discrepancies(payments) == [(*found, True)]
    assert looking.gauge == 0


async def test_a_hold_that_the_provider_kept_is_a_contradiction(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    await order.authorize()
    await order.void()
    async with payments.database.reading() as connection:
        await connection.execute(text("DELETE FROM sandbox.ledger WHERE operation = 'VOID'"))

    await looking.round()

    assert await discrepancies(payments) == [("HELD", "0.00 EUR", "20.00 EUR", False)]


async def test_a_provider_that_forgot_everything_is_a_contradiction(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    await order.authorize()
    await order.capture()
    async with payments.database.reading() as connection:
        await connection.execute(text("TRUNCATE sandbox.ledger"))

    await looking.round()

    assert await discrepancies(payments) == [("TAKEN", "20.00 EUR", "0.00 EUR", False)]


async def test_an_outcome_that_the_payment_rules_out_is_a_contradiction(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    await order.authorize()
    key = await left_open(payments, order, "capture")
    await looking.provider.capture(key=key, reference=order.id, amount=TWENTY)
    async with payments.database.reading() as connection:
        await connection.execute(text("UPDATE payment SET state = 'VOIDED', version = version + 1"))

    await looking.round()

    assert await discrepancies(payments) == [
        ("OUTCOME", "VOIDED", "capture is done", False),
        ("TAKEN", "0.00 EUR", "20.00 EUR", False),
    ]


async def test_one_that_can_not_be_asked_keeps_no_other_from_it(payments: ServiceUnderTest, looking: Looking) -> None:
    orders = [Order(payments) for _ in range(3)]
    for each in orders:
        await each.authorize()
    async with payments.database.reading() as connection:
        await connection.execute(
            text("UPDATE payment SET provider = 'gone' WHERE order_id = :order"), {"order": orders[1].id}
        )
    await enter(payments, orders[2], "CAPTURE", 2000)

    outcome = await looking.round()

    assert (outcome.compared, outcome.unanswered, outcome.found) == (2, 1, 2)


async def test_a_payment_that_moves_while_it_is_looked_at_is_no_contradiction(
    payments: ServiceUnderTest, order: Order, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await order.authorize()
    await enter(payments, order, "CAPTURE", 2000)  # what it says of itself is wrong when it is asked
    ask, asked = looking.provider.statements, itertools.count()

    async def slowly(accounts: Sequence[Account]) -> Mapping[str, Statement]:
        said = await ask(accounts)
        if next(asked) == 1:  # together first, then alone
            async with payments.database.reading() as connection:
                await connection.execute(text("UPDATE payment SET version = version + 1"))
        return said

    monkeypatch.setattr(looking.provider, "statements", slowly)
    outcome = await looking.round()

    assert (outcome.compared, outcome.found) == (0, 0)
    assert await discrepancies(payments) == []


async def test_what_could_not_be_compared_is_looked_at_again(
    payments: ServiceUnderTest, order: Order, looking: Looking
) -> None:
    await order.authorize()
    await left_open(payments, order, "capture")
    reconciliation = looking.wired.reconciliation
    first, position = await reconciliation.round(Position(utc_now() - timedelta(hours=1)))
    await order.capture()  # its caller came back; nothing was begun since the last round

    second, position = await reconciliation.round(position)
    third, _ = await reconciliation.round(position)

    assert (first.left_open, first.compared, second.compared, third.compared) == (1, 0, 1, 0)


async def test_the_service_looks_by_itself_also_at_what_was_before_it(
    harness: Harness, payments: ServiceUnderTest, order: Order
) -> None:
    await order.authorize()
    await enter(payments, order, "CAPTURE", 100)
    async with payments.database.reading() as connection:
        await connection.execute(text("UPDATE attempt SET create_time = create_time - interval '2 minutes'"))

    async with harness.running(
        "payment", build, settings=PaymentSettings, database_url=payments.database_url, ZOCO_RECONCILE_MINUTES=0.005
    ) as anew:
        gauge = anew.running.runtime.registry.get_sample_value
        await until(lambda: gauge("payment_discrepancies") == 2)

    assert [each[0] for each in await discrepancies(payments)] == ["HELD", "TAKEN"]


@pytest.fixture
def environment(payments: ServiceUnderTest) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": payments.database_url,
        "ZOCO_PKI_DIR": str(payments.pki / "payment"),
        "LOG_FORMAT": "json",
    }


async def test_one_round_can_be_run_by_hand(
    payments: ServiceUnderTest, order: Order, environment: dict[str, str]
) -> None:
    await order.authorize()
    await enter(payments, order, "CAPTURE", 2000)
    async with payments.database.reading() as connection:
        await connection.execute(text("UPDATE attempt SET create_time = create_time - interval '2 minutes'"))

    async def run(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.payment.reconcile", *arguments),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, out.decode()

    code, line = await run("1")
    assert (code, line) == (
        1,
        "reconcile: 1 payments compared, 0 attempts settled, 0 left open, 0 unanswered, 2 discrepancies\n",
    )
    assert (await run("soon"))[0] == 2
