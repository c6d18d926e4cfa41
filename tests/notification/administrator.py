"""Somebody who keeps webhooks, and webhooks that live as long as a block of a test."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import text

from mesh.data import Transaction
from tests.fixtures.servers import until
from tests.notification.conftest import Desk
from tests.notification.receiver import Receiver, receiving
from zoco.notification.v1 import webhook_pb2
from zoco.notification.v1 import webhook_service_pb2 as service
from zoco.notification.v1.webhook_pb2 import Webhook, WebhookDelivery
from zoco.notification.v1.webhook_service_pb2_grpc import WebhookServiceStub

State = webhook_pb2.WebhookDelivery.State


@dataclass(frozen=True)
class Administrator:
    """Somebody who may keep webhooks."""

    stub: Any

    @classmethod
    def of(cls, desk: Desk) -> "Administrator":
        return cls(WebhookServiceStub(desk.service.channel("edge", desk.tokens.admin())))

    async def create(self, url: str, **fields: Any) -> Webhook:
        request = service.CreateWebhookRequest(webhook=Webhook(url=url, **fields))
        made: Webhook = await self.stub.CreateWebhook(request)
        return made

    async def get(self, webhook_id: str) -> Webhook:
        found: Webhook = await self.stub.GetWebhook(service.GetWebhookRequest(id=webhook_id))
        return found

    async def update(self, webhook_id: str, *paths: str, **fields: Any) -> Webhook:
        request = service.UpdateWebhookRequest(
            webhook=Webhook(id=webhook_id, **fields), update_mask=FieldMask(paths=paths) if paths else None
        )
        changed: Webhook = await self.stub.UpdateWebhook(request)
        return changed

    async def delete(self, webhook_id: str, etag: str = "") -> None:
        await self.stub.DeleteWebhook(service.DeleteWebhookRequest(id=webhook_id, etag=etag))

    async def rotate(self, webhook_id: str, overlap: int | None = None) -> Webhook:
        given = None if overlap is None else Duration(seconds=overlap)
        request = service.RotateWebhookSecretRequest(id=webhook_id, overlap=given)
        rotated: Webhook = await self.stub.RotateWebhookSecret(request)
        return rotated

    async def log(self, webhook_id: str, **arguments: Any) -> Sequence[WebhookDelivery]:
        """Its deliveries, newest first."""
        request = service.ListWebhookDeliveriesRequest(webhook_id=webhook_id, **arguments)
        listed: service.ListWebhookDeliveriesResponse = await self.stub.ListWebhookDeliveries(request)
        return listed.deliveries

    async def redeliver(self, delivery: WebhookDelivery) -> WebhookDelivery:
        request = service.RedeliverWebhookRequest(webhook_id=delivery.webhook_id, id=delivery.id)
        again: WebhookDelivery = await self.stub.RedeliverWebhook(request)
        return again


@dataclass(frozen=True)
class Hook:
    """A webhook, its receiver and its keeper."""

    desk: Desk
    keeper: Administrator
    receiver: Receiver
    webhook: Webhook

    @property
    def id(self) -> str:
        return self.webhook.id

    async def got(self, count: int) -> None:
        """Waits until so many requests have come."""
        await until(lambda: len(self.receiver.requests) >= count)

    async def delivery(self, order_id: str, is_so: Callable[[WebhookDelivery], bool]) -> WebhookDelivery:
        """The delivery about an order, once something is true of it."""

        async def find() -> WebhookDelivery | None:
            log = await self.keeper.log(self.id, page_size=100)
            return next((each for each in log if each.order_id == order_id and is_so(each)), None)

        found: WebhookDelivery = await until(find)
        return found

    async def settled(self, order_id: str) -> WebhookDelivery:
        """The delivery about an order, once it does not wait any more."""
        return await self.delivery(order_id, lambda each: each.state != State.WAITING)

    async def settled_in_vain(self, order_id: str) -> WebhookDelivery:
        """The delivery about an order, once an attempt at it failed."""
        return await self.delivery(order_id, lambda each: bool(each.error))

    async def became(self, is_so: Callable[[Webhook], bool]) -> Webhook:
        """The webhook, once something is true of it."""

        async def find() -> Webhook | None:
            webhook = await self.keeper.get(self.id)
            return webhook if is_so(webhook) else None

        found: Webhook = await until(find)
        return found

    async def grow_older(self, hours: float, *, webhook: bool = True) -> None:
        """Moves all that this webhook did and waits for into the past, as if so much time had gone by.

        Args:
            hours: How much.
            webhook: False: only its deliveries, as of one to which other things got through meanwhile.
        """
        given = {"id": self.id, "hours": hours}

        async def work(tx: Transaction) -> None:
            if webhook:
                await tx.execute(
                    text(
                        "UPDATE webhook SET next_at = next_at - :hours * interval '1 hour', "
                        "failing_since = failing_since - :hours * interval '1 hour' WHERE id = :id"
                    ),
                    given,
                )
            await tx.execute(
                text(
                    "UPDATE webhook_delivery SET next_at = next_at - :hours * interval '1 hour', "
                    "give_up_at = give_up_at - :hours * interval '1 hour', "
                    "create_time = create_time - :hours * interval '1 hour' WHERE webhook_id = :id"
                ),
                given,
            )
            await tx.execute(
                text(
                    "UPDATE webhook_secret SET expire_time = expire_time - :hours * interval '1 hour' "
                    "WHERE webhook_id = :id"
                ),
                given,
            )

        await self.desk.service.database.transact(work)


@asynccontextmanager
async def hooked(desk: Desk, **fields: Any) -> AsyncIterator[Hook]:
    """A webhook and its receiver, while the block lasts."""
    keeper = Administrator.of(desk)
    async with receiving() as receiver:
        webhook = await keeper.create(receiver.url, **fields)
        try:
            yield Hook(desk, keeper, receiver, webhook)
        finally:
            await keeper.delete(webhook.id)
