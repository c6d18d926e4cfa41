"""A newcomer's first day at the shop."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from tests.journeys.conftest import Person, eventually, order_of, stock_of
from tests.journeys.transports import Client, Json

Sell = Callable[[int], Awaitable[Json]]


async def test_a_newcomer_finds_buys_and_hears_of_it_and_the_shop_can_account_for_all(
    nobody: Client, register: Callable[[], Awaitable[Person]], admin: Person, put_on_sale: Sell
) -> None:
    product = await put_on_sale(20)
    begun = datetime.now(UTC) - timedelta(seconds=1)
    newcomer = await register()
    before = await admin.call("AnalyticsService.GetSummary", {"startTime": begun.isoformat()})

    found = await nobody.call(
        "ProductService.ListProducts",
        {"query": f'"{product["name"]}"', "minPrice": "12.49", "maxPrice": "12.51", "orderBy": "price desc"},
    )
    assert product["id"] in [each["id"] for each in found["products"]]
    preview = await newcomer.call("OrderService.PreviewOrder", {"items": [{"productId": product["id"], "quantity": 2}]})
    assert preview["available"]
    assert preview["totalAmount"] == {"currencyCode": "EUR", "units": "25", "nanos": 0}

    async with newcomer.client.watch("NotificationService.WatchNotifications", {"position": "0"}) as stream:
        heard = asyncio.ensure_future(_next_of_kind(stream, "ORDER_CONFIRMED"))
        order = await newcomer.order(product["id"], 2)
        notification = await asyncio.wait_for(heard, 20)

    assert order["state"] == "CONFIRMED"
    assert order["totalAmount"] == preview["totalAmount"]
    assert order["items"][0]["unitPrice"] == product["price"]
    assert notification["orderId"] == order["id"]
    assert await stock_of(admin, product["id"]) == (18, 0, 2)

    async def is_shown() -> bool:
        return bool((await nobody.call("ProductService.GetProduct", {"id": product["id"]}))["availableQuantity"] == 18)

    await eventually(is_shown, "18 pieces in the catalog")
    payment = await newcomer.call("PaymentService.GetPayment", {"id": order["paymentId"]})
    assert (payment["state"], payment["capturedAmount"]) == ("CAPTURED", order["totalAmount"])

    async def is_reported() -> bool:
        summary = await admin.call("AnalyticsService.GetSummary", {"startTime": begun.isoformat()})
        return bool(summary["orders"] > before["orders"] and summary["newUsers"] >= 1)

    await eventually(is_reported, "the sale in the report")
    best = await admin.call("AnalyticsService.GetTopProducts", {"startTime": begun.isoformat(), "limit": 100})
    sold = {each["productId"]: each for each in best["products"]}
    assert sold[product["id"]]["units"] == 2

    history = await newcomer.call("OrderService.ListOrderEvents", {"id": order["id"]})
    assert [each["type"] for each in history["events"]] == [
        "OrderPlaced",
        "StockReserved",
        "PaymentAuthorized",
        "PaymentCaptured",
        "StockCommitted",
        "OrderConfirmed",
    ]
    assert [each["version"] for each in history["events"]] == list(range(1, order["version"] + 1))


async def test_an_order_can_be_read_as_it_was(buyer: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)
    order = await buyer.order(product["id"])
    history = await buyer.call("OrderService.ListOrderEvents", {"id": order["id"]})

    placed = await buyer.call("OrderService.GetOrder", {"id": order["id"], "asOf": history["events"][0]["time"]})
    now = await buyer.call("OrderService.GetOrder", {"id": order["id"]})

    assert (placed["state"], placed["version"]) == ("PENDING", 1)
    assert now == order


async def test_a_shipped_order_is_watched_to_its_end(buyer: Person, admin: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)
    order = await buyer.order(product["id"])

    async with buyer.client.watch("OrderService.WatchOrder", {"id": order["id"]}) as stream:
        states: list[str] = []

        async def follow() -> Json:
            async for message in stream:
                if message.get("order"):
                    states.append(message["order"]["state"])
                if message.get("end"):
                    return message
            raise AssertionError("the stream ended without an end")

        following = asyncio.ensure_future(follow())

        async def is_seen() -> bool:
            return states == ["CONFIRMED"]

        await eventually(is_seen, "the order on the stream")
        shipped = {"id": order["id"], "carrier": "Correos", "trackingNumber": "ES1"}
        await admin.call("OrderService.ShipOrder", shipped)
        await admin.call("OrderService.DeliverOrder", {"id": order["id"]})
        end = await asyncio.wait_for(following, 20)

    assert states[0] == "CONFIRMED"
    assert states[-1] == "DELIVERED"
    assert end["end"]["status"].get("code", 0) == 0

    async with buyer.client.watch(
        "OrderService.WatchOrder", {"id": order["id"], "position": end["position"]}
    ) as stream:
        resumed = [message async for message in stream]
    assert [set(each) & {"order", "end"} for each in resumed] in ([{"end"}], [{"order"}, {"end"}])


async def test_a_partial_refund_is_repeated_up_to_what_was_captured(
    buyer: Person, admin: Person, put_on_sale: Sell
) -> None:
    product = await put_on_sale(5)
    order = await buyer.order(product["id"], 2)
    part = {"currencyCode": "EUR", "units": "10", "nanos": 0}

    async def refund(key: str) -> Json:
        request = {"id": order["id"], "amount": part, "requestId": f"{order['id']}-{key}"}
        return await admin.call("OrderService.RefundOrder", request)

    once, again, twice = await refund("first"), await refund("first"), await refund("second")
    rest = await admin.call("OrderService.RefundOrder", {"id": order["id"], "reason": "all of it"})

    assert once == again
    assert [each["refundedAmount"]["units"] for each in (once, twice, rest)] == ["10", "20", "25"]
    payment = await admin.call("PaymentService.GetPayment", {"id": order["paymentId"]})
    assert payment["refundedAmount"] == order["totalAmount"]


async def test_a_key_by_field_and_by_header_is_the_same_key(buyer: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)

    by_field = await buyer.order(product["id"], requestId="k1")
    by_header = await buyer.call("OrderService.CreateOrder", order_of(product["id"]), headers={"idempotency-key": "k1"})

    assert by_field == by_header


async def _next_of_kind(stream: object, kind: str) -> Json:
    async for message in stream:  # type: ignore[attr-defined]  # an async iterator of messages
        notification: Json | None = message.get("notification")
        if notification and notification["kind"] == kind:
            return notification
    raise AssertionError("the stream ended")
