"""The use cases of NotificationService: telling people something once, and letting them read it."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from mesh.clock import Clock
from mesh.data import Database, Transaction
from mesh.errors import not_found
from mesh.ids import uuid7
from services.notification import store
from services.notification.domain import Contact, ContactState, Draft, Notification, Preferences
from services.notification.metrics import NotificationMetrics

MAIL_WAKE = "mail"
"""The key that wakes whoever sends mail."""

WATCH_BATCH = 1000
"""How many notifications a watch reads at once; a wake or the next look brings the rest."""


class Notifications:
    """What is said to people.

    Effects of events run in the consumer's transaction, together with the note that the event was handled.

    Args:
        database: notifications, contacts and the mail queue.
        clock: the time.
        metrics: counts notifications.
    """

    def __init__(self, *, database: Database, clock: Clock, metrics: NotificationMetrics) -> None:
        self._database = database
        self._clock = clock
        self._metrics = metrics

    async def know(self, tx: Transaction, contact: Contact) -> None:
        """Remembers how to reach a person, unless something newer is known."""
        if await store.save_contact(tx.connection, contact):
            tx.wake(MAIL_WAKE)  # mail may have waited for the address

    async def disable(self, tx: Transaction, user_id: str, *, version: int) -> None:
        """Sends no more mail to a person whose account was switched off."""
        await store.disable_contact(tx.connection, user_id, version)

    async def forget(self, tx: Transaction, user_id: str, *, version: int) -> None:
        """Erases what is known of a person and what was said to them.

        A stone without a name stays, so that what arrives late for the person is dropped.
        """
        # The mailbox first, as whoever adds a notification does: either they see the stone, or we see the notification.
        await store.lock_mailbox(tx.connection, user_id)
        gone = Contact(
            user_id=user_id, email=None, display_name="", is_admin=False, state=ContactState.DELETED, version=version
        )
        if await store.save_contact(tx.connection, gone):
            await store.erase(tx.connection, user_id)

    async def notify(self, tx: Transaction, user_id: str, draft: Draft, *, event_id: str) -> None:
        """Says something to a person, and queues the mail if they want one.

        Nobody needs to know the person yet: the notification waits in their mailbox, and its mail for their address.
        """
        sequence, preferences = await store.take_sequence(tx.connection, user_id)
        notification = Notification(
            id=uuid7(), user_id=user_id, sequence=sequence, draft=draft, create_time=self._clock(), read_time=None
        )
        if not await store.add_notification(tx.connection, notification, event_id=event_id):
            return
        tx.wake(user_id)
        if preferences.mails(draft.kind):
            await store.queue_mail(tx.connection, notification)
            tx.wake(MAIL_WAKE)
        tx.after_commit(self._metrics.made.labels(draft.kind.value).inc)

    async def notify_administrators(self, tx: Transaction, draft: Draft, *, event_id: str) -> None:
        """Says something to everyone who runs the shop."""
        for user_id in await store.administrators(tx.connection):
            await self.notify(tx, user_id, draft, event_id=event_id)

    async def page(
        self, user_id: str, *, unread_only: bool, before: int | None, limit: int
    ) -> tuple[list[Notification], int]:
        """A person's notifications, newest first, before a sequence; and how many there are in all."""
        async with self._database.reading() as connection:
            return (
                await store.page(connection, user_id, unread_only=unread_only, before=before, limit=limit),
                await store.count(connection, user_id, unread_only=unread_only),
            )

    async def since(self, user_id: str, sequence: int) -> list[Notification]:
        """A person's notifications behind a sequence, oldest first; at most a thousand."""
        async with self._database.reading() as connection:
            return await store.after(connection, user_id, sequence=sequence, limit=WATCH_BATCH)

    async def last_sequence(self, user_id: str) -> int:
        """The number of a person's latest notification; 0 where there was none."""
        async with self._database.reading() as connection:
            return await store.last_sequence(connection, user_id)

    async def mark_read(self, user_id: str, notification_id: str) -> Notification:
        """Notes that a person read a notification; the first time counts.

        Raises:
            NotFound: there is no such notification, or it is somebody else's.
        """
        canonical = str(UUID(notification_id))

        async def work(tx: Transaction) -> Notification | None:
            return await store.mark_read(tx.connection, user_id, canonical, self._clock())

        notification = await self._database.transact(work)
        if notification is None:
            raise not_found("notification", notification_id)
        return notification

    async def preferences(self, user_id: str) -> Preferences:
        """What goes out by mail to a person."""
        async with self._database.reading() as connection:
            return await store.preferences_of(connection, user_id)

    async def change_preferences(self, user_id: str, change: Callable[[Preferences], Preferences]) -> Preferences:
        """Changes what goes out by mail to a person from now on; mail that is queued already goes out."""

        async def work(tx: Transaction) -> Preferences:
            await store.lock_mailbox(tx.connection, user_id)
            before = await store.preferences_of(tx.connection, user_id)
            after = change(before)
            if after == before:
                return before
            stamped = replace(after, update_time=self._clock())
            await store.save_preferences(tx.connection, user_id, stamped)
            return stamped

        return await self._database.transact(work)
