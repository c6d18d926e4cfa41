"""Each invariant is broken once, in the databases of a running shop, and the audit names what breaks it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from mesh.ids import uuid7
from tests.audit.conftest import Audited, broken, until

STRANGER = "00000000-0000-7000-8000-000000000001"
"""The id of nothing."""

_PAYLOAD = "eyJzdWIiOiIxMjM0NTY3ODkwIn0"
TOKEN = f"eyJhbGciOiJFZERTQSJ9.{_PAYLOAD}.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


@contextmanager
def planted(audited: Audited, text: str) -> Iterator[None]:
    """A log file with a text, for a while."""
    log = audited.shop.home / "logs" / "planted.log"
    log.write_text(text)
    try:
        yield
    finally:
        log.unlink()


async def test_a_shop_in_which_nothing_went_wrong_is_clean(audited: Audited) -> None:
    found = await audited.audit()
    assert broken(found) == {}
    assert [each.invariant.value for each in found.verdicts] == [f"I{number}" for number in range(1, 12)]
    looked_at = {each.invariant.value for each in found.verdicts if each.checked}
    assert looked_at == {f"I{number}" for number in range(1, 12)} - {"I6"}  # nobody said what was acknowledged


async def test_i1_stock_that_does_not_add_up(audited: Audited) -> None:
    [(product,)] = audited.rows("inventory", "SELECT product_id::text FROM stock ORDER BY 1 LIMIT 1")
    with (
        audited.without("inventory", "stock", "stock_adds_up"),
        audited.spoiled(
            "inventory",
            ["stock"],
            "UPDATE stock SET received = received + 1 WHERE product_id = %(product)s",
            product=product,
        ),
    ):
        found = await audited.broken()
    assert set(found) == {"I1"}
    assert product in found["I1"]


async def test_i1_received_pieces_that_no_movement_brought(audited: Audited) -> None:
    [(product,)] = audited.rows("inventory", "SELECT product_id::text FROM stock WHERE sold = 0 ORDER BY 1 LIMIT 1")
    change = "UPDATE stock SET received = received + 1, available = available + 1"
    with audited.spoiled("inventory", ["stock"], f"{change} WHERE product_id = %(product)s", product=product):
        found = await audited.broken()
    assert product in found["I1"]


async def test_i1_pieces_sold_to_an_order_that_was_called_off(audited: Audited) -> None:
    order = audited.orders.cancelled
    with audited.spoiled(
        "inventory",
        ["hold", "stock"],
        "UPDATE hold SET state = 'COMMITTED' WHERE order_id = %(order)s",
        "UPDATE stock SET sold = stock.sold + line.quantity, available = stock.available - line.quantity "
        "FROM reservation AS line WHERE line.order_id = %(order)s AND line.product_id = stock.product_id",
        order=order,
    ):
        found = await audited.broken()
    assert f"{order} " in found["I1"]
    assert "inventory has 0 2, order has none" in found["I1"]


async def test_i2_an_order_with_two_outcomes(audited: Audited) -> None:
    order = audited.orders.confirmed
    with audited.spoiled(
        "order",
        ["events"],
        "INSERT INTO events SELECT stream_id, max(version) + 1, 'zoco.order.storage.v1.OrderRejected', '', '{}', "
        "max(time) FROM events WHERE stream_id = %(order)s GROUP BY 1",
        order=order,
    ):
        found = await audited.broken()
    assert f"{order}: OrderConfirmed, OrderRejected" in found["I2"]


async def test_i2_an_order_that_nobody_decides(audited: Audited) -> None:
    order = audited.orders.confirmed
    kept = ["events", "orders", "outbox"]
    with audited.spoiled(
        "order",
        kept,
        "DELETE FROM events WHERE stream_id = %(order)s AND version > 1",
        "DELETE FROM outbox WHERE aggregate_id = %(order)s AND version > 1",
        "UPDATE orders SET version = 1, state = 'PENDING', payment_id = '' WHERE id = %(order)s",
        order=order,
    ):
        found = await audited.broken()
    assert f"{order}: undecided" in found["I2"]


async def test_i2_an_outcome_that_others_were_told_otherwise(audited: Audited) -> None:
    order = audited.orders.confirmed
    change = "UPDATE outbox SET type = 'zoco.order.v1.OrderRejected'"
    where = "aggregate_id = %(order)s AND type = 'zoco.order.v1.OrderConfirmed'"
    with audited.spoiled("order", ["outbox"], f"{change} WHERE {where}", order=order):
        found = await audited.broken()
    assert f"{order}: told others something else than happened" in found["I2"]


async def test_i3_a_charge_of_which_the_order_knows_less(audited: Audited) -> None:
    order = audited.orders.confirmed
    with audited.spoiled(
        "payment", ["payment"], "UPDATE payment SET captured = captured - 1 WHERE order_id = %(order)s", order=order
    ):
        found = await audited.broken()
    assert set(found) == {"I3"}
    assert order in found["I3"]


async def test_i3_an_order_charged_twice_at_the_provider(audited: Audited) -> None:
    order = audited.orders.confirmed
    with audited.spoiled(
        "payment",
        ["sandbox.ledger"],
        "INSERT INTO sandbox.ledger SELECT key || ':again', operation, reference, token, currency, amount, outcome, "
        "create_time FROM sandbox.ledger WHERE reference = %(order)s AND operation = 'CAPTURE'",
        order=order,
    ):
        found = await audited.broken()
    assert f"{order}: charged 2 times" in found["I3"]


async def test_i3_a_cancelled_order_whose_money_stayed(audited: Audited) -> None:
    order = audited.orders.cancelled
    with (
        audited.spoiled(
            "payment", ["payment"], "UPDATE payment SET refunded = 0 WHERE order_id = %(order)s", order=order
        ),
        audited.spoiled(
            "payment",
            ["sandbox.ledger"],
            "DELETE FROM sandbox.ledger WHERE reference = %(order)s AND operation = 'REFUND'",
            order=order,
        ),
    ):
        found = await audited.broken()
    assert order in found["I3"]


async def test_i3_a_discrepancy_that_nobody_has_resolved(audited: Audited) -> None:
    [(payment,)] = audited.rows("payment", "SELECT id::text FROM payment ORDER BY id LIMIT 1")
    try:
        audited.do(
            "payment",
            "INSERT INTO discrepancy (payment_id, kind, ours, theirs, found_at, resolved_at) VALUES "
            "(%(payment)s, 'TAKEN', '12', '', now(), NULL), (%(payment)s, 'GIVEN_BACK', '1', '2', now(), now())",
            payment=payment,
        )
        found = await audited.broken()
    finally:
        audited.do("payment", "DELETE FROM discrepancy")
    assert found == {"I3": f"{payment}: TAKEN: ours 12, theirs "}


async def test_i4_a_charge_without_an_order(audited: Audited) -> None:
    with audited.spoiled(
        "payment",
        ["sandbox.ledger"],
        "INSERT INTO sandbox.ledger VALUES "
        "('a', 'AUTHORIZE', %(stranger)s, 'tok_visa', 'EUR', 5, 'OK', now() - interval '1 hour'), "
        "('b', 'CAPTURE', %(stranger)s, 'tok_visa', 'EUR', 5, 'OK', now() - interval '1 hour')",
        stranger=STRANGER,
    ):
        found = await audited.broken()
    assert STRANGER in found["I4"]


@pytest.mark.parametrize("where", ["payment", "sandbox.ledger"])
async def test_i4_an_authorization_left_open(audited: Audited, where: str) -> None:
    order = audited.orders.declined
    change = {
        "payment": "UPDATE payment SET state = 'AUTHORIZED' WHERE order_id = %(order)s",
        "sandbox.ledger": "UPDATE sandbox.ledger SET outcome = 'OK' WHERE reference = %(order)s",
    }
    with audited.spoiled("payment", [where], change[where], order=order):
        found = await audited.broken()
    assert set(found) == {"I4"}
    assert order in found["I4"]


async def test_i5_an_event_that_a_consumer_never_saw_and_that_telling_again_brings(audited: Audited) -> None:
    order = audited.orders.confirmed
    kind = "zoco.order.v1.OrderConfirmed"
    [(event,)] = audited.rows(
        "order",
        "SELECT event_id::text FROM outbox WHERE aggregate_id = %(order)s AND type = %(kind)s",
        kind=kind,
        order=order,
    )
    audited.do(
        "analytics",
        "DELETE FROM inbox WHERE event_id = %(event)s",
        "DELETE FROM sale WHERE order_id = %(order)s",
        "DELETE FROM sale_line WHERE order_id = %(order)s",
        event=event,
        order=order,
    )
    found = await audited.broken()
    assert f"{event}: {kind} has not reached analytics" in found["I5"]
    assert order in found["I8"]  # its sale is missing in the reports

    told = await asyncio.to_thread(audited.shop.zoco, "events", "republish", "--since", "1d", "order")
    assert "go out again" in told.stdout
    assert await audited.broken() == {}


async def test_i5_an_event_that_nobody_told(audited: Audited) -> None:
    with audited.spoiled(
        "notification",
        ["inbox"],
        "INSERT INTO inbox (consumer, event_id) VALUES ('notification', %(stranger)s)",
        stranger=STRANGER,
    ):
        found = await audited.broken()
    assert found == {"I5": f"{STRANGER}: took effect at notification, and nobody has told it"}


async def test_i5_an_event_with_two_effects(audited: Audited) -> None:
    with (
        audited.without("analytics", "inbox", "inbox_pkey"),
        audited.spoiled("analytics", ["inbox"], "INSERT INTO inbox SELECT * FROM inbox ORDER BY event_id LIMIT 1"),
    ):
        found = await audited.broken()
    assert "took effect 2 times for analytics" in found["I5"]


async def test_i6_an_acknowledged_order_that_cannot_be_read(audited: Audited) -> None:
    found = await audited.broken(acknowledged=[audited.orders.confirmed, STRANGER])
    assert found == {"I6": f"{STRANGER}: was acknowledged and cannot be read"}


async def test_i7_one_key_with_two_answers(audited: Audited) -> None:
    with (
        audited.without("order", "idempotency", "idempotency_pkey"),
        audited.spoiled(
            "order", ["idempotency"], "INSERT INTO idempotency SELECT * FROM idempotency WHERE key = 'audited-0'"
        ),
    ):
        found = await audited.broken()
    assert set(found) == {"I7"}
    assert "audited-0: 2 rows" in found["I7"]


async def test_i7_an_answer_that_names_an_order_that_is_not_there(audited: Audited) -> None:
    change = "UPDATE idempotency SET resource_id = %(stranger)s WHERE key = 'audited-0'"
    with audited.spoiled("order", ["idempotency"], change, stranger=STRANGER):
        found = await audited.broken()
    assert STRANGER in found["I7"]


async def test_i8_a_row_that_says_something_else_than_its_events(audited: Audited) -> None:
    order = audited.orders.refunded
    with audited.spoiled("order", ["orders"], "UPDATE orders SET refunded = 0 WHERE id = %(order)s", order=order):
        found = await audited.broken()
    assert set(found) == {"I8"}
    assert order in found["I8"]

    rebuilt = await asyncio.to_thread(audited.shop.zoco, "events", "rebuild", "order")
    assert "written anew" in rebuilt.stdout


async def test_i8_a_history_with_a_gap(audited: Audited) -> None:
    order = audited.orders.confirmed
    with audited.spoiled(
        "order", ["events"], "DELETE FROM events WHERE stream_id = %(order)s AND version = 3", order=order
    ):
        found = await audited.broken()
    assert f"{order}: event 4 does not follow the last" in found["I8"]


async def test_i8_an_event_of_a_version_from_the_future(audited: Audited) -> None:
    order = audited.orders.confirmed
    with audited.spoiled(
        "order",
        ["events"],
        "UPDATE events SET type = 'zoco.order.storage.v9.OrderConfirmed' WHERE stream_id = %(order)s AND version > 5",
        order=order,
    ):
        found = await audited.broken()
    assert "zoco.order.storage.v9.OrderConfirmed" in found["I8"]


async def test_i8_a_product_that_shows_more_than_there_is(audited: Audited) -> None:
    [(product,)] = audited.rows("product", "SELECT product_id::text FROM availability ORDER BY 1 LIMIT 1")
    change = "UPDATE availability SET available = available + 1 WHERE product_id = %(product)s"
    with audited.spoiled("product", ["availability"], change, product=product):
        found = await audited.broken()
    assert set(found) == {"I8"}
    assert product in found["I8"]


async def test_i9_a_dead_letter_that_was_not_to_be_expected(audited: Audited) -> None:
    letter = (
        "INSERT INTO dead_letter (consumer, event_id, subject, headers, payload, reason, tries, dead_at) "
        "VALUES ('user', %(stranger)s, 'zoco.order.v1.OrderPlaced', '{}', '', 'indigestible', 5, now())"
    )
    with audited.spoiled("user", ["dead_letter"], letter, stranger=STRANGER):
        found = await audited.broken()
        expected = await audited.broken(poison=1)
        more = await audited.broken(poison=2)
    assert set(found) == {"I9"}
    assert STRANGER in found["I9"]
    assert expected == {}
    assert set(more) == {"I9"}


async def test_i9_a_step_that_nobody_takes(audited: Audited) -> None:
    saga = (
        "INSERT INTO saga (order_id, step, next_at, started_at, correlation_id) "
        "VALUES (%(stranger)s, 'reserve', now() - interval '1 hour', now() - interval '1 hour', '')"
    )
    with audited.spoiled("order", ["saga"], saga, stranger=STRANGER):
        found = await audited.broken(settle=0)
    assert set(found) == {"I9"}
    assert STRANGER in found["I9"]


async def test_i9_an_event_that_waits_in_its_outbox(audited: Audited) -> None:
    [(event,)] = audited.rows("user", "SELECT event_id::text FROM outbox ORDER BY id LIMIT 1")
    pid = int(str(audited.shop.status()["user"]["pid"]))
    os.kill(pid, signal.SIGSTOP)
    try:
        mark = "UPDATE outbox SET published_at = NULL, time = time - interval '1 hour'"
        audited.do("user", f"{mark} WHERE event_id = %(event)s", event=event)
        found = await audited.broken(settle=0)
    finally:
        os.kill(pid, signal.SIGCONT)
        audited.do("user", "UPDATE outbox SET time = time + interval '1 hour' WHERE event_id = %(event)s", event=event)
    assert event in found["I9"]
    await asyncio.to_thread(audited.shop.wait_until_healthy)
    assert await audited.broken() == {}


async def test_i10_a_transaction_that_stands_idle(audited: Audited) -> None:
    with psycopg.connect(audited.target().databases["order"], application_name="order") as connection:
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        connection.commit()
        connection.execute("SELECT 1")
        await asyncio.sleep(5.5)  # the very thing that is looked for
        found = await audited.broken(settle=0)
        connection.rollback()
    assert set(found) == {"I10"}
    assert "(order) idle in a transaction" in found["I10"]


async def test_i10_more_connections_than_the_pool_has(audited: Audited) -> None:
    url = audited.target().databases["product"]
    opened = [psycopg.connect(url, application_name="product") for _ in range(11)]
    try:
        found = await audited.broken(settle=0)
    finally:
        for connection in opened:
            connection.close()
    assert set(found) == {"I10"}
    assert "at most 10" in found["I10"]


@pytest.mark.parametrize("secret", [TOKEN, "tok_visa", "canary-street-1"])
async def test_i11_a_secret_in_a_log(audited: Audited, secret: str) -> None:
    with planted(audited, f'{{"event": "first"}}\n{{"event": "paid with {secret}"}}\n'):
        found = await audited.broken("canary-street-1")
    assert set(found) == {"I11"}
    assert "planted.log:2" in found["I11"]
    assert secret not in found["I11"]


async def test_i11_a_password_of_the_shops_own_in_a_log(audited: Audited) -> None:
    with planted(audited, f"{audited.shop.admin[1]}\n"):
        found = await audited.broken()
    assert set(found) == {"I11"}


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("outbox", "UPDATE outbox SET payload = payload || convert_to(%(canary)s, 'UTF8')"),
        ("events", "UPDATE events SET payload = payload || convert_to(%(canary)s, 'UTF8')"),
        ("events", "UPDATE events SET metadata = jsonb_build_object('note', CAST(%(canary)s AS text))"),
    ],
)
async def test_i11_a_secret_in_an_event(audited: Audited, table: str, change: str) -> None:
    canary = f"canary {uuid7()}"
    with audited.spoiled("order", [table], change, canary=canary):
        found = await audited.broken(canary)
    assert f"order: {table}" in found["I11"]
    assert canary not in found["I11"]


async def test_i11_a_secret_in_a_dead_letter(audited: Audited) -> None:
    letter = (
        "INSERT INTO dead_letter (consumer, event_id, subject, headers, payload, reason, tries, dead_at) "
        "VALUES ('user', %(stranger)s, 'zoco.order.v1.OrderPlaced', '{}', '', 'refused ' || %(token)s, 5, now())"
    )
    with audited.spoiled("user", ["dead_letter"], letter, stranger=STRANGER, token=TOKEN):
        found = await audited.broken(poison=1)
    assert set(found) == {"I11"}
    assert STRANGER in found["I11"]


async def test_a_database_restored_from_a_backup_is_found_out_and_stops_nobody(audited: Audited) -> None:
    """Order forgets its newest order; broker, payment, inventory and the others know it."""
    order = audited.orders.refunded
    with audited.spoiled(
        "order",
        ["events", "orders", "outbox", "idempotency"],
        "DELETE FROM events WHERE stream_id = %(order)s",
        "DELETE FROM orders WHERE id = %(order)s",
        "DELETE FROM outbox WHERE aggregate_id = %(order)s",
        "DELETE FROM idempotency WHERE resource_id = %(order)s",
        order=order,
    ):
        found = await audited.broken()
        until(lambda: all(each["state"] == "healthy" for each in audited.shop.status().values()))
    assert "nobody has told it" in found["I5"]
    assert all(order in found[invariant] for invariant in ("I1", "I3", "I4", "I8"))
