"""Somebody outside hears of an order from its first event to its last, and can ask to be told again."""

import json
from collections.abc import Awaitable, Callable

import pytest

from tests.journeys.conftest import Person, eventually
from tests.journeys.transports import Json, Refused
from tests.notification.receiver import Receiver, answer, receiving

Sell = Callable[[int], Awaitable[Json]]


async def test_a_subscriber_hears_of_an_order_until_it_has_arrived(
    admin: Person, buyer: Person, put_on_sale: Sell
) -> None:
    product = await put_on_sale(5)
    async with receiving() as receiver:
        receiver.answers = [answer(500), answer(204)]
        webhook = await admin.call("WebhookService.CreateWebhook", {"webhook": {"url": receiver.url}})
        try:
            order = await buyer.order(product["id"], 2)
            await admin.call("OrderService.ShipOrder", {"id": order["id"], "carrier": "DHL", "trackingNumber": "42"})
            await admin.call("OrderService.DeliverOrder", {"id": order["id"]})

            async def is_all_told() -> bool:
                return types(receiver, order) >= {"order.placed", "order.confirmed", "order.shipped", "order.delivered"}

            await eventually(is_all_told, "delivery of everything", limit=60)
            told = [each.verified(webhook["secret"]) for each in receiver.requests if order["id"] in each.body.decode()]
            confirmed = next(each for each in told if each["type"] == "order.confirmed")
            assert confirmed["data"]["totalAmount"] == order["totalAmount"]
            assert confirmed["data"]["items"] == order["items"]
            assert confirmed["orderVersion"] == order["version"]

            listed = await admin.call("WebhookService.ListWebhooks", {"pageSize": 100})
            mine = next(each for each in listed["webhooks"] if each["id"] == webhook["id"])
            assert mine["secret"] == ""
            log = await admin.call("WebhookService.ListWebhookDeliveries", {"webhookId": webhook["id"]})
            delivery = next(
                each
                for each in log["deliveries"]
                if each["orderId"] == order["id"] and each["eventType"] == "order.confirmed"
            )
            before = receiver.ids.count(delivery["eventId"])
            await admin.call("WebhookService.RedeliverWebhook", {"webhookId": webhook["id"], "id": delivery["id"]})

            async def came_again() -> bool:
                return receiver.ids.count(delivery["eventId"]) > before

            await eventually(came_again, "redelivery")

            changed = await admin.call(
                "WebhookService.UpdateWebhook",
                {"webhook": {"id": webhook["id"], "enabled": False}, "updateMask": "enabled"},
            )
            assert (changed["enabled"], changed["disableReason"]) == (False, "BY_ADMINISTRATOR")
        finally:
            await admin.call("WebhookService.DeleteWebhook", {"id": webhook["id"]})
    with pytest.raises(Refused) as gone:
        await admin.call("WebhookService.GetWebhook", {"id": webhook["id"]})
    assert gone.value.reason == "RESOURCE_NOT_FOUND"


def types(receiver: Receiver, order: Json) -> set[str]:
    """What has come about an order."""
    bodies = [json.loads(request.body) for request in receiver.requests]
    return {body["type"] for body in bodies if body["data"]["orderId"] == order["id"]}
