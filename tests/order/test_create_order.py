"""Placing an order: what it costs, how it is decided, and what stays behind when it could not be."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import grpc
import pytest
from google.type.postal_address_pb2 import PostalAddress

from mesh.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable, from_rpc_error
from mesh.money import Money
from mesh.wire import money_to_proto
from tests.fixtures.servers import until
from tests.harness import refused
from tests.order.conftest import ADDRESS, Shop, State
from tests.order.neighbours import AWAY
from zoco.order.v1 import order_service_pb2 as service
from zoco.order.v1.order_pb2 import Order
from zoco.product.v1 import product_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_order_is_confirmed_paid_and_sold(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 2), (shop.cup, 1))

    assert order.state == State.CONFIRMED
    assert order.user_id == buyer.user_id
    assert order.total_amount == money_to_proto(Money("EUR", 2100))
    assert [(item.name, item.quantity) for item in order.items] == [("Tea", 2), ("Cup", 1)]
    assert order.shipping_address == ADDRESS
    assert order.payment_id == shop.payment.accounts[order.id].payment_id
    assert order == await buyer.get(order.id)
    assert shop.payment.charges == {order.id: 1}
    assert (shop.inventory.available[shop.tea], shop.inventory.sold[shop.tea]) == (8, 2)
    assert await shop.rows("SELECT 1 FROM saga") == []
    assert await buyer.trail(order.id) == [
        "OrderPlaced",
        "StockReserved",
        "PaymentAuthorized",
        "PaymentCaptured",
        "StockCommitted",
        "OrderConfirmed",
    ]


async def test_each_step_is_asked_once_under_the_key_of_order_and_step(shop: Shop) -> None:
    order = await shop.customer().create((shop.tea, 1))
    assert shop.inventory.keys == [f"{order.id}:reserve", f"{order.id}:commit"]
    assert shop.payment.keys == [f"{order.id}:authorize", f"{order.id}:capture"]


async def test_prices_are_those_of_the_day_the_order_was_placed(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    shop.product.products[shop.tea].price.CopyFrom(money_to_proto(Money("EUR", 999)))
    assert (await buyer.get(order.id)).total_amount == money_to_proto(Money("EUR", 450))


async def test_too_little_stock_rejects_the_order_and_names_each_product(shop: Shop) -> None:
    buyer = shop.customer()
    error = await refused(buyer.create((shop.tea, 11), (shop.cup, 12)))

    assert isinstance(error, FailedPrecondition)
    assert error.reason == "INSUFFICIENT_STOCK"
    assert {each.subject: each.description for each in error.preconditions} == {
        shop.tea: "10 available, 11 wanted",
        shop.cup: "10 available, 12 wanted",
    }
    order = await buyer.get(error.metadata["order_id"])
    assert order.state == State.REJECTED
    assert order.rejection.reason == "INSUFFICIENT_STOCK"
    assert list(order.rejection.product_ids) == [shop.tea, shop.cup]
    assert shop.payment.calls == {}


@pytest.mark.parametrize(
    ("card", "reason"), [("tok_declined", "card_declined"), ("tok_insufficient_funds", "insufficient_funds")]
)
async def test_a_declined_card_gives_the_stock_back(shop: Shop, card: str, reason: str) -> None:
    buyer = shop.customer()
    error = await refused(buyer.create((shop.tea, 2), card=card))

    assert error.reason == "PAYMENT_DECLINED"
    assert error.metadata["decline_reason"] == reason
    order = await buyer.get(error.metadata["order_id"])
    assert (order.state, order.rejection.decline_reason) == (State.REJECTED, reason)
    assert shop.inventory.available[shop.tea] == 10
    assert await buyer.trail(order.id) == [
        "OrderPlaced",
        "StockReserved",
        "PaymentDeclined",
        "StockReleased",
        "OrderRejected",
    ]


async def test_a_card_declined_at_the_capture_gives_the_stock_back(shop: Shop) -> None:
    declined = FailedPrecondition("PAYMENT_DECLINED", "too late", metadata={"decline_reason": "expired_card"})
    shop.payment.disturb("Capture", always=declined)
    buyer = shop.customer()
    error = await refused(buyer.create((shop.tea, 2)))
    assert error.metadata["decline_reason"] == "expired_card"
    assert shop.inventory.available[shop.tea] == 10
    assert shop.payment.charges == {}


async def test_what_is_not_decided_in_time_is_answered_pending_and_decided_later(neighbourhood: Shop) -> None:
    shop = neighbourhood
    async with shop.open(ZOCO_ORDER_ANSWER_WITHIN=0.2):
        buyer = shop.customer()
        order = await buyer.create((shop.tea, 1), card="tok_slow")
        assert order.state == State.PENDING
        shop.payment.slow.set()
        await buyer.settled(order.id, State.CONFIRMED)


@pytest.mark.parametrize("method", ["Authorize", "Capture"])
async def test_an_answer_of_payment_that_got_lost_is_asked_for_again(shop: Shop, method: str) -> None:
    shop.payment.disturb(method, after=[Unavailable("DEPENDENCY_UNAVAILABLE", "lost")] * 4)
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    await buyer.settled(order.id, State.CONFIRMED)
    assert shop.payment.charges == {order.id: 1}
    assert shop.payment.calls[method] > 1


@pytest.mark.parametrize("method", ["ReserveStock", "CommitStock"])
async def test_inventory_that_is_away_for_a_while_is_waited_for(shop: Shop, method: str) -> None:
    shop.inventory.disturb(method, before=[AWAY] * 7)
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    await buyer.settled(order.id, State.CONFIRMED)
    assert shop.payment.charges == {order.id: 1}


async def test_fifty_buyers_for_ten_pieces_end_with_ten(shop: Shop) -> None:
    outcomes = await asyncio.gather(*(shop.customer().create((shop.tea, 1)) for _ in range(50)), return_exceptions=True)
    await shop.at_rest()
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 10
    assert len(shop.payment.charges) == 10
    assert shop.inventory.sold[shop.tea] == 10


async def test_a_checkout_that_nobody_decides_is_given_up_before_the_pivot(shop: Shop) -> None:
    shop.payment.disturb("Authorize", always=AWAY)
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    assert order.state == State.PENDING
    await shop.change("UPDATE saga SET started_at = started_at - interval '11 minutes'")
    order = await buyer.settled(order.id, State.REJECTED)
    assert order.rejection.reason == "TIMED_OUT"
    assert shop.inventory.available[shop.tea] == 10
    assert shop.payment.voids == {order.id}


async def test_a_capture_is_asked_until_it_is_known_however_long_it_takes(shop: Shop) -> None:
    shop.payment.disturb("Capture", always=AWAY)
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    await shop.change("UPDATE saga SET started_at = started_at - interval '11 minutes'")
    asked = shop.payment.calls["Capture"]
    await until(lambda: shop.payment.calls["Capture"] >= asked + 4)
    assert (await buyer.get(order.id)).state == State.PENDING
    shop.payment.disturb("Capture")
    await buyer.settled(order.id, State.CONFIRMED)


async def test_a_contradiction_holds_up_its_own_order_only(shop: Shop) -> None:
    shop.payment.disturb("Capture", always=FailedPrecondition("STATE_CONFLICT", "nothing is held"))
    buyer = shop.customer()
    stuck = await buyer.create((shop.tea, 1))
    assert stuck.state == State.PENDING
    shop.payment.disturb("Capture")
    assert (await buyer.create((shop.cup, 1))).state == State.CONFIRMED


async def test_the_card_is_forgotten_as_soon_as_it_is_authorized(shop: Shop) -> None:
    gate = shop.payment.stop_at("Capture", effect=False)
    buyer = shop.customer()
    creating = asyncio.create_task(buyer.create((shop.tea, 1)))
    await gate.reached.wait()
    assert [row.payment_token for row in await shop.rows("SELECT payment_token FROM saga")] == [None]
    gate.opened.set()
    await creating


async def test_the_history_keeps_no_card_and_no_address(shop: Shop) -> None:
    card, street = "tok_visa", "Calle Canario 7"
    address = service.CreateOrderRequest().shipping_address
    address.CopyFrom(ADDRESS)
    address.address_lines[:] = [street]
    await shop.customer().create((shop.tea, 1), card=card, address=address)
    kept = await shop.rows("SELECT payload, metadata::text AS metadata FROM events")
    published = await shop.rows("SELECT payload FROM outbox")
    for secret in (card, street):
        assert not any(secret.encode() in bytes(row.payload) or secret in row.metadata for row in kept)
        assert not any(secret.encode() in bytes(row.payload) for row in published)


async def test_a_product_that_does_not_exist_is_named(shop: Shop) -> None:
    missing = "0192f0c1-0000-7000-8000-0000000000ff"
    error = await refused(shop.customer().create((shop.tea, 1), (missing, 1)))
    assert isinstance(error, NotFound)
    assert error.metadata == {"resource": "product", "id": missing}
    assert await shop.rows("SELECT 1 FROM events") == []


async def test_an_archived_product_is_not_sold(shop: Shop) -> None:
    shop.product.products[shop.tea].state = product_pb2.Product.ARCHIVED
    error = await refused(shop.customer().create((shop.tea, 1)))
    assert (error.reason, error.metadata) == ("PRODUCT_NOT_SOLD", {"product_id": shop.tea})


async def test_an_order_is_in_one_currency(shop: Shop) -> None:
    sake = shop.stock("Sake", "900", 10, currency="JPY")
    error = await refused(shop.customer().create((shop.tea, 1), (sake, 1)))
    assert isinstance(error, InvalidArgument)
    assert error.reason == "CURRENCY_MISMATCH"


async def test_an_order_that_no_amount_can_hold_is_refused(shop: Shop) -> None:
    yacht = shop.stock("Yacht", "90000000000000000", 10_000)
    error = await refused(shop.customer().create((yacht, 10_000)))
    assert (error.reason, error.field_violations[0].field) == ("INVALID_FIELD", "items")


async def test_without_a_catalog_nothing_is_placed(shop: Shop) -> None:
    shop.product.disturb("BatchGetProducts", always=AWAY)
    error = await refused(shop.customer().create((shop.tea, 1)))
    assert error.reason == "DEPENDENCY_UNAVAILABLE"
    assert await shop.rows("SELECT 1 FROM events") == []


async def test_what_breaks_a_rule_is_refused_and_named(shop: Shop) -> None:
    buyer = shop.customer()
    one = (shop.tea, 1)
    nowhere = PostalAddress(region_code="Spain", address_lines=["Calle Feria 1"])
    endless = PostalAddress(region_code="ES", address_lines=["Calle Feria 1"], organization="x" * 20_000)
    refusals = {
        "nothing": (buyer.create(), "items"),
        "no product": (buyer.create(("x", 1)), "items[0].product_id"),
        "none of it": (buyer.create((shop.tea, 0)), "items[0].quantity"),
        "less than none": (buyer.create((shop.tea, -1)), "items[0].quantity"),
        "too many": (buyer.create((shop.tea, 10_001)), "items[0].quantity"),
        "twice": (buyer.create(one, one), "items"),
        "twice, spelled otherwise": (buyer.create(one, (shop.tea.upper(), 1)), "items[1].product_id"),
        "no card": (buyer.create(one, card=""), "payment_token"),
        "a card number": (buyer.create(one, card="4242424242424242"), "payment_token"),
        "a region that is none": (buyer.create(one, address=nowhere), "shipping_address"),
        "more than an address": (buyer.create(one, address=endless), "shipping_address"),
    }
    for what, (call, field) in refusals.items():
        error = await refused(call)
        assert error.reason == "INVALID_FIELD", what
        assert field in {violation.field for violation in error.field_violations}, what
    assert await shop.rows("SELECT 1 FROM events") == []


async def test_nobody_orders_without_a_token(shop: Shop) -> None:
    error = await refused(
        shop.customer().stub.CreateOrder(service.CreateOrderRequest(), metadata=(("authorization", "Bearer x"),))
    )
    assert error.reason in {"TOKEN_INVALID", "TOKEN_MISSING"}


async def admitted(call: Callable[[], Awaitable[Order]]) -> Order:
    """The answer of a call that is repeated as long as the process has no room for it: nothing was begun then."""
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            told = from_rpc_error(error)
            if told.reason != "OVERLOADED" or told.retry_after is None:
                raise
            await asyncio.sleep(told.retry_after.total_seconds())


async def test_whatever_goes_wrong_each_order_ends_once_and_the_books_agree(shop: Shop, rng: random.Random) -> None:
    """Thirty orders among neighbours that fail, lose answers and decline at random."""
    for neighbour, methods in (
        (shop.inventory, ("ReserveStock", "CommitStock", "ReleaseStock")),
        (shop.payment, ("Authorize", "Capture", "Void", "Refund")),
    ):
        for method in methods:
            neighbour.disturb(method, before=[AWAY] * rng.randrange(6), after=[AWAY] * rng.randrange(6))
    buyer = shop.customer()

    async def one() -> None:
        card = rng.choice(["tok_visa", "tok_visa", "tok_declined"])
        quantity = rng.randint(1, 2)
        with suppress(grpc.aio.AioRpcError):  # a refusal is an outcome too; the books are what is tested
            order = await admitted(lambda: buyer.create((shop.tea, quantity), card=card))
            if rng.random() < 0.5:
                await buyer.cancel(order.id)

    await asyncio.gather(*(one() for _ in range(30)))
    await shop.at_rest()
    orders = (await buyer.stub.ListOrders(service.ListOrdersRequest(page_size=100))).orders
    assert len(orders) == 30
    for order in orders:
        account = shop.payment.accounts.get(order.id)
        held = shop.inventory.holds.get(order.id, ("NONE", {}))[0]
        match order.state:
            case State.CONFIRMED:
                assert account is not None
                assert account.captured == account.amount
                assert not account.refunded
                assert held == "COMMITTED"
            case State.CANCELLED:
                assert account is None or account.refunded == account.captured
                assert held == "RELEASED"
            case State.REJECTED:
                assert account is None or not account.captured
                assert held in {"NONE", "RELEASED"}
            case _:
                pytest.fail(f"order {order.id} is {State.Name(order.state)}")
        assert shop.payment.charges[order.id] <= 1
    assert +shop.inventory.reserved == {}
    assert shop.inventory.available[shop.tea] + shop.inventory.sold[shop.tea] == 10
