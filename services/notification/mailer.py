"""Sends the mail that waits: what is queued with a notification leaves, however often the process dies in between."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from email.headerregistry import Address
from typing import Final

from mesh.clock import Clock
from mesh.crashpoints import crashpoint
from mesh.data import Database, Transaction
from mesh.data.wakes import Wakes
from mesh.errors import MeshError
from mesh.logs import logger
from services.notification import store
from services.notification.app import MAIL_WAKE
from services.notification.mail import MailNotSentError, MailTransport, compose
from services.notification.metrics import NotificationMetrics
from services.notification.store import QueuedMail

BATCH: Final = 20
LOOK_SECONDS: Final = 5.0
"""How long mail may wait whose wake was lost."""
LEASE: Final = timedelta(minutes=2)
"""How long nobody else takes a mail that is being sent: longer than a mail server may take."""
FIRST_RETRY: Final = timedelta(seconds=5)
LONGEST_RETRY: Final = timedelta(hours=1)
GIVE_UP_AFTER: Final = timedelta(days=7)

_log = logger("services.notification")


class Mailer:
    """Takes mail off the queue, sends it, and notes what became of it.

    A mail is taken in one transaction, sent outside of any, and marked in another. If the process dies in between, the
    mail is sent again after its lease, with the same Message-ID: SMTP knows no other way of not losing it.

    Args:
        database: the queue.
        transport: how mail leaves.
        sender: whom it is from.
        clock: the time.
        wakes: tells that there is mail.
        metrics: counts attempts.
    """

    def __init__(
        self,
        *,
        database: Database,
        transport: MailTransport,
        sender: Address,
        clock: Clock,
        wakes: Wakes,
        metrics: NotificationMetrics,
    ) -> None:
        self._database = database
        self._transport = transport
        self._sender = sender
        self._clock = clock
        self._wakes = wakes
        self._metrics = metrics

    async def run(self) -> None:
        """Sends mail for as long as the process lives."""
        with self._wakes.subscribe([MAIL_WAKE]) as wake:
            while True:
                try:
                    full = await self.send_due() == BATCH
                except MeshError as error:
                    _log.warning("the mail queue cannot be reached", reason=str(error))
                    full = False
                if not full:
                    await wake.wait(LOOK_SECONDS)

    async def send_due(self) -> int:
        """Sends a batch of what is due; how many mails were tried."""
        batch = await self._database.transact(self._take, named="mail.take")
        if batch:
            outcomes = await asyncio.gather(*(self._send(mail) for mail in batch))
            crashpoint("notification.mail.after_sending")
            await self._note(batch, outcomes)
        return len(batch)

    async def _take(self, tx: Transaction) -> Sequence[QueuedMail]:
        now = self._clock()
        given_up = await store.give_up_mail(tx.connection, created_before=now - GIVE_UP_AFTER)
        if given_up:
            _log.warning("mail given up", mails=given_up)
        return await store.take_due_mail(tx.connection, now=now, lease=LEASE, limit=BATCH)

    async def _send(self, mail: QueuedMail) -> MailNotSentError | None:
        try:
            await self._transport.send(compose(mail, sender=self._sender), mail_id=mail.notification_id)
        except MailNotSentError as error:
            return error
        return None

    async def _note(self, batch: Sequence[QueuedMail], outcomes: Sequence[MailNotSentError | None]) -> None:
        now = self._clock()
        sent = [mail.notification_id for mail, outcome in zip(batch, outcomes, strict=True) if outcome is None]
        failed = [(mail, outcome) for mail, outcome in zip(batch, outcomes, strict=True) if outcome is not None]

        async def work(tx: Transaction) -> None:
            if sent:
                await store.mails_sent(tx.connection, sent, now)
            for mail, error in failed:
                retry_at = None if error.is_final else now + retry_delay(mail.attempts)
                await store.mail_failed(tx.connection, mail.notification_id, error=error.reason, retry_at=retry_at)

        await self._database.transact(work, named="mail.note")
        self._metrics.mails.labels("sent").inc(len(sent))
        for mail, error in failed:
            self._metrics.mails.labels("given_up" if error.is_final else "retried").inc()
            _log.warning(
                "mail not sent", notification_id=mail.notification_id, attempt=mail.attempts, final=error.is_final
            )


def retry_delay(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts: 5 seconds, doubling up to an hour."""
    return min(FIRST_RETRY * (1 << min(attempts - 1, 16)), LONGEST_RETRY)
