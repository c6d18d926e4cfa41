"""The mail queue: nothing is lost and nothing goes out twice, whatever fails in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Row, select

from mesh.bus.nats import NatsBus
from mesh.data import Database, Transaction
from mesh.data.wakes import Wakes
from mesh.ids import uuid7
from services.notification.__main__ import build
from services.notification.app import Notifications
from services.notification.domain import Contact, ContactState, order_shipped
from services.notification.mail import MailNotSentError
from services.notification.mailer import GIVE_UP_AFTER, LEASE, Mailer
from services.notification.metrics import NotificationMetrics
from services.notification.settings import NotificationSettings
from services.notification.tables import mail
from tests.fixtures.servers import Postgres, until
from tests.harness import Harness
from tests.notification.conftest import AREAS, Neighbours
from tests.notification.test_mail import SENDER, Inbox, mail_server, read


class Post:
    """A way for mail to leave that a test holds in its hand."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.failures: list[Exception] = []

    async def send(self, message: EmailMessage, *, mail_id: str) -> None:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        assert mail_id in message["Message-ID"]
        self.sent.append(mail_id)


class Office:
    """A mail queue with as many mailers as a test wants, and a clock."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.post = Post()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.metrics = NotificationMetrics(CollectorRegistry())
        self.notifications = Notifications(database=database, clock=lambda: self.now, metrics=self.metrics)

    def mailer(self) -> Mailer:
        return Mailer(
            database=self.database,
            transport=self.post,
            sender=SENDER,
            clock=lambda: self.now,
            wakes=Wakes("notification"),
            metrics=self.metrics,
        )

    async def queue(self, mails: int) -> str:
        """Tells a new person so many things; the person."""
        user_id = uuid7()

        async def work(tx: Transaction) -> None:
            await self.notifications.know(
                tx,
                Contact(
                    user_id=user_id,
                    email="alice@example.com",
                    display_name="Alice",
                    is_admin=False,
                    state=ContactState.ACTIVE,
                    version=1,
                ),
            )
            for _ in range(mails):
                draft = order_shipped(uuid7(), carrier="DHL", tracking_number="42")
                await self.notifications.notify(tx, user_id, draft, event_id=uuid7())

        await self.database.transact(work)
        return user_id

    async def rows(self) -> Sequence[Row[*tuple[Any, ...]]]:
        async with self.database.reading() as connection:
            return (await connection.execute(select(mail).order_by(mail.c.notification_id))).all()


@pytest.fixture
async def office(postgres: Postgres) -> AsyncIterator[Office]:
    database = Database(await postgres.database("notification"), workload="notification")
    yield Office(database)
    await database.drain()


async def test_what_is_queued_goes_out_once(office: Office) -> None:
    await office.queue(3)

    assert await office.mailer().send_due() == 3
    assert await office.mailer().send_due() == 0

    assert len(office.post.sent) == len(set(office.post.sent)) == 3
    assert {row.state for row in await office.rows()} == {"SENT"}


async def test_several_mailers_share_the_work(office: Office) -> None:
    await office.queue(50)

    await asyncio.gather(*(office.mailer().send_due() for _ in range(4)))
    await office.mailer().send_due()

    assert len(office.post.sent) == len(set(office.post.sent)) == 50


async def test_what_failed_is_tried_again_later_and_later(office: Office) -> None:
    await office.queue(1)
    office.post.failures = [MailNotSentError("try later", is_final=False) for _ in range(3)]

    for pause in (5, 10, 20):
        assert await office.mailer().send_due() == 1
        office.now += timedelta(seconds=pause - 1)
        assert await office.mailer().send_due() == 0
        office.now += timedelta(seconds=1)
    assert await office.mailer().send_due() == 1

    (row,) = await office.rows()
    assert (row.state, row.attempts, row.last_error) == ("SENT", 4, None)
    assert len(office.post.sent) == 1


async def test_what_was_refused_for_good_is_not_tried_again(office: Office) -> None:
    await office.queue(1)
    office.post.failures = [MailNotSentError("no such\r\nperson", is_final=True)]

    await office.mailer().send_due()
    office.now += timedelta(days=1)
    assert await office.mailer().send_due() == 0

    (row,) = await office.rows()
    assert (row.state, row.last_error) == ("FAILED", "no such person")


async def test_a_mail_whose_mailer_died_is_sent_after_its_lease_with_the_same_id(office: Office) -> None:
    await office.queue(1)
    office.post.failures = [RuntimeError("the process is gone")]
    with pytest.raises(RuntimeError):
        await office.mailer().send_due()

    assert await office.mailer().send_due() == 0
    office.now += LEASE
    assert await office.mailer().send_due() == 1

    (row,) = await office.rows()
    assert office.post.sent == [row.notification_id]


async def test_one_mail_that_fails_keeps_no_other_back(office: Office) -> None:
    await office.queue(5)
    office.post.failures = [MailNotSentError("try later", is_final=False)]

    await office.mailer().send_due()

    assert sorted(row.state for row in await office.rows()) == ["QUEUED", "SENT", "SENT", "SENT", "SENT"]


async def test_a_mail_that_never_finds_an_address_is_given_up_and_its_notification_stays(office: Office) -> None:
    user_id = uuid7()

    async def work(tx: Transaction) -> None:
        draft = order_shipped(uuid7(), carrier="DHL", tracking_number="42")
        await office.notifications.notify(tx, user_id, draft, event_id=uuid7())

    await office.database.transact(work)
    office.now += GIVE_UP_AFTER + timedelta(seconds=1)
    await office.mailer().send_due()

    (row,) = await office.rows()
    assert (row.state, row.last_error) == ("FAILED", "no address became known")
    _, total = await office.notifications.page(user_id, unread_only=False, before=None, limit=10)
    assert total == 1


@asynccontextmanager
async def neighbours(nats: str) -> AsyncIterator[Neighbours]:
    bus = NatsBus(nats, name="neighbours")
    await bus.start()
    await until(lambda: bus.connected)
    for area in AREAS:
        await bus.ensure_stream(area)
    yield Neighbours(bus)
    await bus.close()


async def test_a_mail_server_that_comes_back_gets_what_waited(
    harness: Harness, nats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notification.mailer.FIRST_RETRY", timedelta(milliseconds=100))
    inbox, user_id = Inbox(), uuid7()
    inbox.answers["DATA"] = "451 try later"
    async with mail_server(inbox) as address, neighbours(nats) as others:
        url = await harness.postgres.database("notification")
        settings: dict[str, Any] = {"settings": NotificationSettings, "SMTP_URL": f"smtp://{address}"}
        async with harness.running("notification", build, database_url=url, **settings) as running:
            await others.register(user_id, email="alice@example.com")

            async def tried() -> bool:
                async with running.database.reading() as connection:
                    row = (await connection.execute(select(mail))).one_or_none()
                    return row is not None and row.last_error is not None

            await until(tried)

        inbox.answers.clear()
        async with harness.running("notification", build, database_url=url, **settings):
            await until(lambda: inbox.messages, seconds=15)

    (message,) = [read(content) for content in inbox.messages]
    assert message["To"] == "Alice <alice@example.com>"
