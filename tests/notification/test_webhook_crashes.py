"""A process that is killed around a request: the receiver gets it once more, with the same id, and never not at all."""

import asyncio
import base64
import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mesh.bus import Received
from mesh.crashpoints import REACHED, VARIABLE
from mesh.data import Database, Transaction
from mesh.data.migrations import upgrade
from mesh.errors import MeshError
from mesh.ids import uuid7
from services.notification.webhooks.addresses import Rules
from services.notification.webhooks.app import Wanted, Webhooks
from services.notification.webhooks.domain import Delivery, DeliveryState
from services.notification.webhooks.sealing import Safe
from tests.fixtures.servers import Postgres, PostgresServer, until
from tests.notification.conftest import EAGER
from tests.notification.receiver import receiving
from zoco.order.v1.order_events_pb2 import OrderShipped

ROOT = Path(__file__).parents[2]
SAFE = Safe([base64.b64decode(str(EAGER["ZOCO_WEBHOOK_KEYS"]))])
RULES = Rules(networks=(ipaddress.ip_network("127.0.0.0/8"),), http=True)


@dataclass
class Place:
    """A database of notification, and processes on it that a test starts and that die as they are told."""

    database: Database
    url: str
    pki: Path
    directory: Path

    @property
    def webhooks(self) -> Webhooks:
        return Webhooks(database=self.database, safe=SAFE, rules=RULES)

    async def tell(self) -> None:
        """An order is shipped."""
        order_id = uuid7()
        event = OrderShipped(order_id=order_id, user_id=uuid7())
        received = Received(event, uuid7(), order_id, 7, datetime.now(UTC), uuid7())

        async def work(tx: Transaction) -> None:
            await self.webhooks.tell(tx, received, order_id=order_id)

        await self.database.transact(work)

    async def delivery(self, webhook_id: str) -> Delivery:
        [delivery], _ = await self.webhooks.deliveries(webhook_id, states=(), before=None, limit=10)
        return delivery

    @contextmanager
    def process(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """The service, as it is started anywhere, while the block lasts; settings by environment variable."""
        environment = {
            **os.environ,
            **{name: str(value) for name, value in EAGER.items()},
            VARIABLE: str(self.directory),
            "DATABASE_URL": self.url,
            "ZOCO_LISTEN": "127.0.0.1:0",
            "ZOCO_METRICS_LISTEN": "127.0.0.1:0",
            "ZOCO_PKI_DIR": str(self.pki / "notification"),
            "ZOCO_MAIL_DIR": str(self.directory / "mail"),
            "ZOCO_DRAIN_SECONDS": "0",
            **settings,
        }
        environment.pop("NATS_URL", None)
        with (self.directory / "process.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.notification"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
async def place(postgres: Postgres, pki: Path, tmp_path: Path) -> AsyncIterator[Place]:
    url = await postgres.database("notification")
    database = Database(url, workload="notification")
    yield Place(database, url, pki, tmp_path)
    await database.drain()


@pytest.mark.parametrize(
    ("point", "sent_before", "sent_in_all"),
    [
        ("notification.webhook.take.before_commit", 0, 1),
        ("notification.webhook.take.after_commit", 0, 1),
        ("notification.webhook.after_sending", 1, 2),
        ("notification.webhook.note.before_commit", 1, 2),
        ("notification.webhook.note.after_commit", 1, 1),
    ],
)
async def test_a_process_killed_around_a_request_loses_none_and_repeats_it_under_its_id(
    place: Place, point: str, sent_before: int, sent_in_all: int
) -> None:
    async with receiving() as receiver:
        webhook, secret = await place.webhooks.create(Wanted(url=receiver.url, event_types=(), enabled=True))
        await place.tell()
        (place.directory / point).touch()

        with place.process() as killed:
            await until(lambda: killed.poll() is not None, seconds=30)
        assert killed.returncode == -signal.SIGKILL, (place.directory / "process.log").read_text()[-2000:]
        assert len(receiver.requests) == sent_before

        async def is_delivered() -> bool:
            return (await place.delivery(webhook.id)).state is DeliveryState.DELIVERED

        with place.process():
            await until(is_delivered, seconds=30)

    delivery = await place.delivery(webhook.id)
    assert set(receiver.ids) == {delivery.event_id}
    assert len(receiver.requests) == sent_in_all
    assert len({request.body for request in receiver.requests}) == 1
    for request in receiver.requests:
        assert request.verified(secret)
    assert (place.directory / REACHED / point).is_dir()


async def test_two_processes_share_the_work_and_send_nothing_twice(place: Place) -> None:
    async with receiving() as receiver:
        await place.webhooks.create(Wanted(url=receiver.url, event_types=(), enabled=True))
        for _ in range(60):
            await place.tell()
        # Nothing is slow enough to be tried again.
        patient = {"ZOCO_WEBHOOK_TIMEOUT_SECONDS": "20", "ZOCO_WEBHOOK_LEASE_SECONDS": "30"}
        with place.process(**patient), place.process(**patient):
            await until(lambda: len(receiver.requests) >= 60, seconds=30)

    assert len(receiver.ids) == len(set(receiver.ids)) == 60


async def test_a_process_whose_database_was_away_goes_on(pki: Path, tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "database")
    server.start()
    url = server.url()
    await asyncio.to_thread(upgrade, "notification", url)
    database = Database(url, workload="notification")
    place = Place(database, url, pki, tmp_path)
    async with receiving() as receiver:
        webhook, _ = await place.webhooks.create(Wanted(url=receiver.url, event_types=(), enabled=True))
        await place.tell()
        with place.process() as process:
            await until(lambda: receiver.requests, seconds=30)
            server.stop()
            await until(lambda: b"cannot be reached" in (tmp_path / "process.log").read_bytes(), seconds=30)
            server.start()
            await until(place_takes_orders(place), seconds=30)
            await until(lambda: len(set(receiver.ids)) == 2, seconds=30)
            assert process.poll() is None
    deliveries, _ = await place.webhooks.deliveries(webhook.id, states=(), before=None, limit=10)
    assert len(deliveries) == 2
    await database.drain()
    server.stop()


def place_takes_orders(place: Place) -> Callable[[], Awaitable[bool]]:
    """Tells of one order, once the database takes it."""

    async def told() -> bool:
        try:
            await place.tell()
        except MeshError:
            return False
        return True

    return told
