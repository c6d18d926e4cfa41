"""Processes die in the middle of a checkout, and the shop settles by itself; stopped and started, it has all it had."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest

from tests.journeys.conftest import Person, eventually, order_of, stock_of
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Json, Refused

Sell = Callable[[int], Awaitable[Json]]

RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.DEADLINE_EXCEEDED}
TERMINAL = {"CONFIRMED", "REJECTED"}


@pytest.mark.parametrize("process", ["payment", "inventory", "order"])
async def test_a_process_killed_in_the_middle_of_checkouts_leaves_nothing_half_done(
    shop: RunningShop, buyer: Person, admin: Person, put_on_sale: Sell, process: str
) -> None:
    product = await put_on_sale(100)
    orders = 8
    placing = [
        # tok_slow holds each order at the payment for seconds, so that the kill meets it on its way.
        asyncio.ensure_future(place(buyer, order_of(product["id"], card="tok_slow", requestId=f"{process}-{number}")))
        for number in range(orders)
    ]

    async def is_under_way() -> bool:
        return bool((await buyer.call("OrderService.ListOrders"))["totalSize"] == orders)

    await eventually(is_under_way, "orders under way", limit=30)
    await asyncio.to_thread(shop.kill, process)
    placed = await asyncio.gather(*placing)
    await asyncio.to_thread(shop.wait_until_healthy)

    async def is_reached() -> bool:
        return not await asyncio.to_thread(shop.unreached)

    await eventually(is_reached, "edge that has found everybody healthy")

    async def has_settled() -> bool:
        try:
            listed = await buyer.call("OrderService.ListOrders")
        except Refused as refused:
            if refused.code is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return all(each["state"] in TERMINAL for each in listed["orders"])

    await eventually(has_settled, "settled orders", limit=60)
    listed = (await buyer.call("OrderService.ListOrders"))["orders"]
    assert {each["id"] for each in listed} >= set(placed)
    assert len(listed) == orders
    assert {each["state"] for each in listed} == {"CONFIRMED"}
    assert await stock_of(admin, product["id"]) == (100 - orders, 0, orders)
    for order in listed:
        payments = await admin.call("PaymentService.ListPayments", {"orderId": order["id"]})
        assert [(each["state"], each["capturedAmount"]) for each in payments["payments"]] == [
            ("CAPTURED", order["totalAmount"])
        ]


async def test_a_charge_whose_answer_is_lost_is_made_once(buyer: Person, admin: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)

    order = await buyer.order(product["id"], card="tok_charged_then_timeout")

    order = await _settled(buyer, order["id"])
    assert order["state"] == "CONFIRMED"
    payment = await admin.call("PaymentService.GetPayment", {"id": order["paymentId"]})
    assert payment["capturedAmount"] == order["totalAmount"]


async def test_a_provider_that_fails_once_is_asked_again(buyer: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)

    order = await buyer.order(product["id"], card="tok_error_once")

    assert (await _settled(buyer, order["id"]))["state"] == "CONFIRMED"


async def test_a_slow_card_gives_a_pending_order_that_can_be_watched(buyer: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)

    order = await buyer.order(product["id"], card="tok_slow")
    assert order["state"] == "PENDING"

    async with buyer.client.watch("OrderService.WatchOrder", {"id": order["id"]}) as stream, asyncio.timeout(30):
        async for message in stream:
            if message.get("order", {}).get("state") == "CONFIRMED":
                break


async def test_stopped_and_started_again_the_shop_has_everything(
    shop: RunningShop, buyer: Person, admin: Person, nobody: Client, put_on_sale: Sell
) -> None:
    product = await put_on_sale(7)
    order = await buyer.order(product["id"], 2)
    pending = await buyer.order(product["id"], 1, "tok_slow")
    before = await nobody.call("ProductService.ListProducts", {"pageSize": 1})

    await asyncio.to_thread(shop.down)
    await asyncio.to_thread(shop.up)

    assert await asyncio.to_thread(shop.unreached) == []
    assert (await buyer.call("OrderService.GetOrder", {"id": order["id"]})) == order
    assert (await _settled(buyer, pending["id"]))["state"] == "CONFIRMED"
    assert await stock_of(admin, product["id"]) == (4, 0, 3)
    after = await nobody.call("ProductService.ListProducts", {"pageSize": 1})
    assert after["totalSize"] == before["totalSize"]

    async def is_notified() -> bool:
        listed = await buyer.call("NotificationService.ListNotifications")
        told = [each["orderId"] for each in listed["notifications"] if each["kind"] == "ORDER_CONFIRMED"]
        return sorted(told) == sorted([order["id"], pending["id"]])

    await eventually(is_notified, "one notification an order")


async def place(buyer: Person, request: Json) -> str:
    """Places an order as a client does that retries under its key until it has an answer."""
    while True:
        try:
            return str((await buyer.call("OrderService.CreateOrder", request))["id"])
        except Refused as refused:
            if refused.code not in RETRYABLE:
                raise
            await asyncio.sleep(0.2)


async def _settled(buyer: Person, order_id: str) -> Json:
    async def is_settled() -> bool:
        return (await buyer.call("OrderService.GetOrder", {"id": order_id}))["state"] in TERMINAL

    await eventually(is_settled, "settled order", limit=30)
    return await buyer.call("OrderService.GetOrder", {"id": order_id})
