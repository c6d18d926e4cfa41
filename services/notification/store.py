"""Every statement the notification service sends to its database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, delete, exists, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notification.domain import Contact, ContactState, Draft, Kind, Notification, Preferences
from services.notification.tables import contact, mail, mailbox, notification

Record = Row[*tuple[Any, ...]]


@dataclass(frozen=True)
class QueuedMail:
    """A mail whose turn has come, and where it goes."""

    notification_id: str
    email: str
    display_name: str
    title: str
    body: str
    create_time: datetime
    attempts: int


async def save_contact(connection: AsyncConnection, known: Contact) -> bool:
    """Stores what is known of an account unless something newer is; whether it did."""
    values = {
        "user_id": known.user_id,
        "email": known.email,
        "display_name": known.display_name,
        "is_admin": known.is_admin,
        "state": known.state.value,
        "version": known.version,
    }
    statement = postgresql.insert(contact).values(values)
    newer = statement.on_conflict_do_update(
        index_elements=[contact.c.user_id],
        set_={name: statement.excluded[name] for name in values if name != "user_id"},
        where=contact.c.version < statement.excluded.version,
    ).returning(contact.c.user_id)
    return (await connection.execute(newer)).one_or_none() is not None


async def disable_contact(connection: AsyncConnection, user_id: str, version: int) -> None:
    """Notes that an account was switched off, unless something newer is known."""
    statement = postgresql.insert(contact).values(
        user_id=user_id, display_name="", is_admin=False, state=ContactState.DISABLED.value, version=version
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[contact.c.user_id],
            set_={"state": statement.excluded.state, "version": statement.excluded.version},
            where=contact.c.version < statement.excluded.version,
        )
    )


async def erase(connection: AsyncConnection, user_id: str) -> None:
    """Deletes all that was said to a person, mail that waits included. The mailbox must be locked."""
    await connection.execute(delete(notification).where(notification.c.user_id == user_id))
    await connection.execute(
        update(mailbox)
        .where(mailbox.c.user_id == user_id)
        .values(email_enabled=True, muted_kinds=[], preferences_time=None)
    )


async def administrators(connection: AsyncConnection) -> Sequence[str]:
    """The ids of all administrators in use, in the order in which their mailboxes are to be locked."""
    statement = select(contact.c.user_id).where(contact.c.is_admin, contact.c.state == "ACTIVE")
    return (await connection.execute(statement.order_by(contact.c.user_id))).scalars().all()


async def lock_mailbox(connection: AsyncConnection, user_id: str) -> None:
    """Holds a person's mailbox until the transaction ends; makes it where there is none."""
    statement = postgresql.insert(mailbox).values(user_id=user_id, last_sequence=0, email_enabled=True, muted_kinds=[])
    await connection.execute(statement.on_conflict_do_nothing())
    await connection.execute(select(mailbox.c.user_id).where(mailbox.c.user_id == user_id).with_for_update())


async def take_sequence(connection: AsyncConnection, user_id: str) -> tuple[int, Preferences]:
    """The next number of a person's notifications, and what goes out by mail to them.

    The mailbox is locked by this: numbers are committed in the order they were taken, so a watch that reads what is
    greater than its position misses nothing.
    """
    statement = postgresql.insert(mailbox).values(user_id=user_id, last_sequence=1, email_enabled=True, muted_kinds=[])
    taken = statement.on_conflict_do_update(
        index_elements=[mailbox.c.user_id], set_={"last_sequence": mailbox.c.last_sequence + 1}
    ).returning(mailbox.c.last_sequence, *_PREFERENCES)
    row = (await connection.execute(taken)).one()
    return row.last_sequence, _preferences(row)


async def add_notification(connection: AsyncConnection, new: Notification, *, event_id: str) -> bool:
    """Stores a notification unless its person's account is deleted; whether it did."""
    row = select(
        *(
            literal(value, column.type)
            for column, value in (
                (notification.c.id, new.id),
                (notification.c.user_id, new.user_id),
                (notification.c.sequence, new.sequence),
                (notification.c.event_id, event_id),
                (notification.c.kind, new.draft.kind.value),
                (notification.c.title, new.draft.title),
                (notification.c.body, new.draft.body),
                (notification.c.order_id, new.draft.order_id),
                (notification.c.product_id, new.draft.product_id),
                (notification.c.create_time, new.create_time),
            )
        )
    ).where(~exists().where(contact.c.user_id == new.user_id, contact.c.state == "DELETED"))
    names = [
        "id", "user_id", "sequence", "event_id", "kind", "title", "body", "order_id", "product_id", "create_time"
    ]  # fmt: skip
    statement = insert(notification).from_select(names, row).returning(notification.c.id)
    return (await connection.execute(statement)).one_or_none() is not None


async def queue_mail(connection: AsyncConnection, new: Notification) -> None:
    """Queues the mail of a notification. It goes out once an address is known."""
    await connection.execute(
        insert(mail).values(
            notification_id=new.id,
            user_id=new.user_id,
            state="QUEUED",
            attempts=0,
            next_at=new.create_time,
            create_time=new.create_time,
        )
    )


async def page(
    connection: AsyncConnection, user_id: str, *, unread_only: bool, before: int | None, limit: int
) -> list[Notification]:
    """A person's notifications, newest first, before a sequence."""
    statement = _of(user_id, unread_only=unread_only).order_by(notification.c.sequence.desc()).limit(limit)
    if before is not None:
        statement = statement.where(notification.c.sequence < before)
    return [_notification(row) for row in await connection.execute(statement)]


async def count(connection: AsyncConnection, user_id: str, *, unread_only: bool) -> int:
    """How many notifications a person has."""
    statement = _of(user_id, unread_only=unread_only).with_only_columns(func.count(), maintain_column_froms=True)
    return (await connection.execute(statement)).scalar_one()


async def after(connection: AsyncConnection, user_id: str, *, sequence: int, limit: int) -> list[Notification]:
    """A person's notifications behind a sequence, oldest first."""
    statement = (
        _of(user_id, unread_only=False)
        .where(notification.c.sequence > sequence)
        .order_by(notification.c.sequence)
        .limit(limit)
    )
    return [_notification(row) for row in await connection.execute(statement)]


async def last_sequence(connection: AsyncConnection, user_id: str) -> int:
    """The number of a person's latest notification; 0 where there was none."""
    statement = select(mailbox.c.last_sequence).where(mailbox.c.user_id == user_id)
    return (await connection.execute(statement)).scalar_one_or_none() or 0


async def mark_read(
    connection: AsyncConnection, user_id: str, notification_id: str, now: datetime
) -> Notification | None:
    """Notes when a notification was read first; None where the person has no such notification."""
    statement = (
        update(notification)
        .where(notification.c.id == notification_id, notification.c.user_id == user_id)
        .values(read_time=func.coalesce(notification.c.read_time, now))
        .returning(*_NOTIFICATION)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _notification(row)


async def preferences_of(connection: AsyncConnection, user_id: str) -> Preferences:
    """What goes out by mail to a person."""
    row = (await connection.execute(select(*_PREFERENCES).where(mailbox.c.user_id == user_id))).one_or_none()
    return Preferences() if row is None else _preferences(row)


async def save_preferences(connection: AsyncConnection, user_id: str, preferences: Preferences) -> None:
    """Stores what goes out by mail to a person, whose mailbox must be locked."""
    await connection.execute(
        update(mailbox)
        .where(mailbox.c.user_id == user_id)
        .values(
            email_enabled=preferences.email_enabled,
            muted_kinds=sorted(kind.value for kind in preferences.muted_kinds),
            preferences_time=preferences.update_time,
        )
    )


async def take_due_mail(
    connection: AsyncConnection, *, now: datetime, lease: timedelta, limit: int
) -> list[QueuedMail]:
    """Takes mails that are due and have an address; nobody else takes them before the lease is over."""
    due = (
        select(mail.c.notification_id)
        .join(contact, contact.c.user_id == mail.c.user_id)
        .where(
            mail.c.state == "QUEUED", mail.c.next_at <= now, contact.c.state == "ACTIVE", contact.c.email.is_not(None)
        )
        .order_by(mail.c.next_at)
        .limit(limit)
        .with_for_update(of=mail, skip_locked=True)
        .cte("due")
    )
    statement = (
        update(mail)
        .where(
            mail.c.notification_id.in_(select(due.c.notification_id)),
            notification.c.id == mail.c.notification_id,
            contact.c.user_id == mail.c.user_id,
        )
        .values(attempts=mail.c.attempts + 1, next_at=now + lease)
        .returning(
            mail.c.notification_id,
            contact.c.email,
            contact.c.display_name,
            notification.c.title,
            notification.c.body,
            mail.c.create_time,
            mail.c.attempts,
        )
    )
    return [QueuedMail(*row) for row in await connection.execute(statement)]


async def mails_sent(connection: AsyncConnection, notification_ids: Sequence[str], now: datetime) -> None:
    """Notes that mails are out."""
    await connection.execute(
        update(mail)
        .where(mail.c.notification_id.in_(notification_ids))
        .values(state="SENT", sent_time=now, last_error=None)
    )


async def mail_failed(
    connection: AsyncConnection, notification_id: str, *, error: str, retry_at: datetime | None
) -> None:
    """Notes why a mail did not go out, and when it is tried again; never, where there is no time."""
    values: dict[str, Any] = {"last_error": error}
    values |= {"state": "FAILED"} if retry_at is None else {"next_at": retry_at}
    await connection.execute(update(mail).where(mail.c.notification_id == notification_id).values(values))


async def give_up_mail(connection: AsyncConnection, *, created_before: datetime) -> int:
    """Gives up mails that have waited too long for an address or a mail server; how many."""
    statement = (
        update(mail)
        .where(mail.c.state == "QUEUED", mail.c.create_time < created_before)
        .values(state="FAILED", last_error=func.coalesce(mail.c.last_error, "no address became known"))
    )
    return (await connection.execute(statement)).rowcount


_NOTIFICATION = (
    notification.c.id,
    notification.c.user_id,
    notification.c.sequence,
    notification.c.kind,
    notification.c.title,
    notification.c.body,
    notification.c.order_id,
    notification.c.product_id,
    notification.c.create_time,
    notification.c.read_time,
)
_PREFERENCES = (mailbox.c.email_enabled, mailbox.c.muted_kinds, mailbox.c.preferences_time)


def _of(user_id: str, *, unread_only: bool) -> Select[*tuple[Any, ...]]:
    statement = select(*_NOTIFICATION).where(notification.c.user_id == user_id)
    return statement.where(notification.c.read_time.is_(None)) if unread_only else statement


def _notification(row: Record) -> Notification:
    return Notification(
        id=row.id,
        user_id=row.user_id,
        sequence=row.sequence,
        draft=Draft(
            kind=Kind(row.kind), title=row.title, body=row.body, order_id=row.order_id, product_id=row.product_id
        ),
        create_time=row.create_time,
        read_time=row.read_time,
    )


def _preferences(row: Record) -> Preferences:
    return Preferences(
        email_enabled=row.email_enabled,
        muted_kinds=frozenset(Kind(kind) for kind in row.muted_kinds),
        update_time=row.preferences_time,
    )
