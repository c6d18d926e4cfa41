"""A notification service that runs in the test's process, and the neighbours' events it hears through a real broker."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from mesh.bus.envelope import Envelope
from mesh.bus.nats import NatsBus
from mesh.bus.port import NotStored
from mesh.ids import uuid7
from services.notification.__main__ import build
from services.notification.settings import NotificationSettings
from tests.fixtures.servers import NatsServer, Postgres, until
from tests.harness import Harness, ServiceUnderTest, Tokens
from zoco.notification.v1 import notification_pb2
from zoco.notification.v1 import notification_service_pb2 as service
from zoco.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from zoco.order.v1 import order_events_pb2, order_pb2
from zoco.user.v1 import user_events_pb2, user_pb2

AREAS = ("user", "order", "inventory")

EAGER: Final = {
    "ZOCO_WEBHOOK_KEYS": base64.b64encode(bytes(32)).decode(),
    "ZOCO_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "ZOCO_WEBHOOK_HTTP": "true",
    "ZOCO_WEBHOOK_TIMEOUT_SECONDS": 1.0,
    "ZOCO_WEBHOOK_LEASE_SECONDS": 2.0,
    "ZOCO_WEBHOOK_FIRST_RETRY_SECONDS": 0.1,
}
"""Webhooks that may go to receivers of a test, and whose pauses are short."""


def now() -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC))
    return moment


@dataclass
class Neighbours:
    """Publishes events as the other services do."""

    bus: NatsBus

    async def publish(self, event: Message, *, aggregate_id: str, version: int = 1, event_id: str | None = None) -> str:
        """Publishes an event; its id. Each message is new to the broker, even if its event is not."""
        name = event.DESCRIPTOR.full_name
        envelope = Envelope(
            event_id=event_id or uuid7(),
            type=name,
            source="test",
            aggregate_id=aggregate_id,
            version=version,
            time=datetime.now(UTC),
            correlation_id=uuid7(),
        )
        publication = replace(envelope.publication(event.SerializeToString()), id=uuid7())
        (stored,) = await self.bus.publish([publication])
        assert not isinstance(stored, NotStored)
        return envelope.event_id

    async def register(self, user_id: str, **fields: Any) -> None:
        """Somebody made an account."""
        values = {"email": f"{user_id}@example.com", "display_name": "Alice", "role": user_pb2.User.CUSTOMER, **fields}
        event = user_events_pb2.UserRegistered(user_id=user_id, register_time=now(), **values)
        await self.publish(event, aggregate_id=user_id)

    async def confirm(self, user_id: str, order_id: str | None = None, **place: Any) -> str:
        """Somebody's order was confirmed; its id."""
        order_id = order_id or uuid7()
        event = order_events_pb2.OrderConfirmed(
            order_id=order_id,
            user_id=user_id,
            items=[order_pb2.OrderItem(product_id=uuid7(), name="Mug", quantity=2)],
            total_amount=Money(currency_code="EUR", units=25, nanos=500_000_000),
            confirm_time=now(),
        )
        await self.publish(event, aggregate_id=order_id, **{"version": 2, **place})
        return order_id


@dataclass(frozen=True)
class Reader:
    """Somebody who reads their notifications."""

    user_id: str
    stub: Any

    async def all(self, **arguments: Any) -> list[notification_pb2.Notification]:
        """Their notifications, newest first."""
        return list((await self.page(**arguments)).notifications)

    async def page(self, **arguments: Any) -> service.ListNotificationsResponse:
        response: service.ListNotificationsResponse = await self.stub.ListNotifications(
            service.ListNotificationsRequest(**arguments)
        )
        return response

    async def having(self, count: int) -> list[notification_pb2.Notification]:
        """Their notifications once there are so many."""

        async def enough() -> list[notification_pb2.Notification] | None:
            found = await self.all(page_size=100)
            return found if len(found) >= count else None

        found: list[notification_pb2.Notification] = await until(enough)
        assert len(found) == count
        return found


@dataclass
class Desk:
    """A running notification service with its surroundings."""

    service: ServiceUnderTest
    neighbours: Neighbours
    tokens: Tokens
    mail: Path = field(default=Path())

    def reader(self, user_id: str | None = None) -> Reader:
        """Somebody, new unless named."""
        known = user_id or uuid7()
        return Reader(known, NotificationServiceStub(self.service.channel("edge", self.tokens.customer(known))))

    async def mail_of(self, notification_id: str) -> EmailMessage:
        """The mail of a notification, once it is out."""
        file = self.mail / f"{notification_id}.eml"
        await until(file.exists)
        message = message_from_bytes(file.read_bytes().replace(b"\r\n", b"\n"), policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


@asynccontextmanager
async def opened(
    postgres: Postgres, directory: Path, pki: Path, tokens: Tokens, **settings: Any
) -> AsyncIterator[Desk]:
    """A notification service with a broker of its own, while the block lasts."""
    nats = NatsServer(directory / "nats")
    nats.start()
    bus = NatsBus(nats.url, name="neighbours")
    try:
        await bus.start()
        await until(lambda: bus.connected)
        for area in AREAS:
            await bus.ensure_stream(area)
        harness = Harness(postgres, nats.url, pki, tokens)
        mail = directory / "mail"
        told: dict[str, Any] = {"settings": NotificationSettings, "ZOCO_MAIL_DIR": mail, **settings}
        async with harness.running("notification", build, **told) as running:
            yield Desk(running, Neighbours(bus), tokens, mail)
    finally:
        await bus.close()
        nats.stop()
        postgres.drop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(
    postgres_session: Postgres, tmp_path_factory: pytest.TempPathFactory, pki: Path, tokens: Tokens
) -> AsyncIterator[Desk]:
    """One service for the tests of a module; each test has people of its own."""
    async with opened(postgres_session, tmp_path_factory.mktemp("notification"), pki, tokens) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def eager(
    postgres_session: Postgres, tmp_path_factory: pytest.TempPathFactory, pki: Path, tokens: Tokens
) -> AsyncIterator[Desk]:
    """One service whose webhooks may go to loopback, and that is soon at it again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("services.notification.webhooks.deliverer.LOOK_SECONDS", 0.05)
        directory = tmp_path_factory.mktemp("webhooks")
        async with opened(postgres_session, directory, pki, tokens, **EAGER) as running:
            yield running
