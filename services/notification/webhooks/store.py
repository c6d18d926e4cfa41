"""The statements about webhooks and the log of their deliveries; those of sending stand in `leases.py`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, func, or_, select, true, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data import Transaction
from services.notification.tables import webhook, webhook_delivery, webhook_secret
from services.notification.webhooks.domain import Delivery, DeliveryState, DisableReason, EventType, Webhook

Record = Row[*tuple[Any, ...]]

_NOW: ColumnElement[datetime] = func.clock_timestamp()
_WEBHOOK = (
    webhook.c.id,
    webhook.c.url,
    webhook.c.event_types,
    webhook.c.disable_reason,
    webhook.c.disable_time,
    webhook.c.failing_since,
    webhook.c.version,
    webhook.c.create_time,
    webhook.c.update_time,
)
_DELIVERY = (
    webhook_delivery.c.id,
    webhook_delivery.c.webhook_id,
    webhook_delivery.c.event_id,
    webhook_delivery.c.event_type,
    webhook_delivery.c.order_id,
    webhook_delivery.c.order_version,
    webhook_delivery.c.state,
    webhook_delivery.c.attempts,
    webhook_delivery.c.create_time,
    webhook_delivery.c.attempt_time,
    webhook_delivery.c.next_at,
    webhook_delivery.c.deliver_time,
    webhook_delivery.c.response_status,
    webhook_delivery.c.error,
)


async def insert(tx: Transaction, new: Webhook) -> bool:
    """Stores a webhook unless its URL has one; whether it did."""
    values = {
        "id": new.id,
        "url": new.url,
        "event_types": [each.value for each in new.event_types],
        "disable_reason": new.disable_reason.value if new.disable_reason else None,
        "disable_time": new.disable_time,
        "version": new.version,
        "failures": 0,
        "next_at": _NOW,
        "create_time": new.create_time,
        "update_time": new.update_time,
    }
    statement = postgresql.insert(webhook).values(values).on_conflict_do_nothing(index_elements=[webhook.c.url])
    return (await tx.execute(statement.returning(webhook.c.id))).one_or_none() is not None


async def find(connection: AsyncConnection, webhook_id: str, *, lock: bool = False) -> Webhook | None:
    """One webhook, perhaps held until the transaction ends."""
    statement = select(*_WEBHOOK).where(webhook.c.id == webhook_id)
    row = (await connection.execute(statement.with_for_update(key_share=True) if lock else statement)).one_or_none()
    return None if row is None else _webhook(row)


async def page(connection: AsyncConnection, *, before: str | None, limit: int) -> list[Webhook]:
    """Webhooks, newest first, before an id."""
    statement = select(*_WEBHOOK).order_by(webhook.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(webhook.c.id < before)
    return [_webhook(row) for row in await connection.execute(statement)]


async def count(connection: AsyncConnection) -> int:
    """How many webhooks there are."""
    return (await connection.execute(select(func.count()).select_from(webhook))).scalar_one()


async def is_taken(tx: Transaction, url: str, *, by_other_than: str) -> bool:
    """Whether another webhook has a URL."""
    statement = select(webhook.c.id).where(webhook.c.url == url, webhook.c.id != by_other_than)
    return (await tx.execute(statement)).first() is not None


async def save(tx: Transaction, changed: Webhook) -> None:
    """Stores what an administrator changed of a webhook that is held."""
    await tx.execute(
        update(webhook)
        .where(webhook.c.id == changed.id)
        .values(
            url=changed.url,
            event_types=[each.value for each in changed.event_types],
            disable_reason=changed.disable_reason.value if changed.disable_reason else None,
            disable_time=changed.disable_time,
            version=changed.version,
            update_time=changed.update_time,
        )
    )


async def begin_anew(tx: Transaction, webhook_id: str) -> None:
    """Forgets that a webhook was failing: what waits for it is due, and has its whole time again."""
    await tx.execute(
        update(webhook).where(webhook.c.id == webhook_id).values(failures=0, failing_since=None, next_at=_NOW)
    )
    await tx.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.state == "WAITING")
        .values(failures=0, give_up_at=None, next_at=_NOW)
    )


async def remove(tx: Transaction, webhook_id: str) -> None:
    """Deletes a webhook with its secrets and deliveries."""
    await tx.execute(delete(webhook).where(webhook.c.id == webhook_id))


async def add_secret(tx: Transaction, secret_id: str, webhook_id: str, sealed: bytes) -> None:
    """Stores a sealed secret, valid from now on."""
    values = {"id": secret_id, "webhook_id": webhook_id, "sealed": sealed, "create_time": _NOW}
    await tx.execute(postgresql.insert(webhook_secret).values(values))


async def expire_secrets(tx: Transaction, webhook_id: str, *, within: timedelta) -> int:
    """Lets all secrets of a webhook end after a while, those sooner that do anyway; how many are valid still."""
    end = func.clock_timestamp() + within
    statement = (
        update(webhook_secret)
        .where(webhook_secret.c.webhook_id == webhook_id)
        .values(expire_time=func.least(func.coalesce(webhook_secret.c.expire_time, end), end))
    )
    await tx.execute(statement)
    valid = select(func.count()).where(webhook_secret.c.webhook_id == webhook_id, webhook_secret.c.expire_time > _NOW)
    still: int = (await tx.execute(valid)).scalar_one()
    return still


async def listeners(tx: Transaction, event_type: EventType) -> Sequence[str]:
    """The webhooks that are to be told of an event, kept from being deleted until the transaction ends."""
    statement = (
        select(webhook.c.id)
        .where(
            webhook.c.disable_reason.is_(None),
            or_(webhook.c.event_types == [], webhook.c.event_types.any_() == event_type.value),
        )
        .order_by(webhook.c.id)
        .with_for_update(read=True, key_share=True)
    )
    return (await tx.execute(statement)).scalars().all()


async def add_deliveries(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> int:
    """Stores deliveries that are due now, but for those of an event that a webhook was told; how many it did."""
    given = [{**row, "state": "WAITING", "attempts": 0, "failures": 0} for row in rows]
    statement = (
        postgresql.insert(webhook_delivery)
        .values([{**row, "next_at": _NOW, "create_time": _NOW} for row in given])
        .on_conflict_do_nothing(index_elements=[webhook_delivery.c.webhook_id, webhook_delivery.c.event_id])
    )
    return (await tx.execute(statement)).rowcount


async def deliveries(
    connection: AsyncConnection, webhook_id: str, *, states: Collection[DeliveryState], before: str | None, limit: int
) -> list[Delivery]:
    """Deliveries of a webhook, newest first, before an id; of all states where none is named."""
    statement = _of(webhook_id, states).order_by(webhook_delivery.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(webhook_delivery.c.id < before)
    return [_delivery(row) for row in await connection.execute(statement)]


async def count_deliveries(connection: AsyncConnection, webhook_id: str, *, states: Collection[DeliveryState]) -> int:
    """How many deliveries of a webhook there are."""
    statement = _of(webhook_id, states).with_only_columns(func.count(), maintain_column_froms=True)
    return (await connection.execute(statement)).scalar_one()


async def send_again(tx: Transaction, webhook_id: str, delivery_id: str) -> Delivery | None:
    """Makes a delivery due now, with its whole time before it; None where the webhook has no such delivery."""
    statement = (
        update(webhook_delivery)
        .where(webhook_delivery.c.id == delivery_id, webhook_delivery.c.webhook_id == webhook_id)
        .values(state="WAITING", failures=0, give_up_at=None, next_at=_NOW, deliver_time=None)
        .returning(*_DELIVERY)
    )
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        return None
    soon = update(webhook).where(webhook.c.id == webhook_id, webhook.c.next_at > _NOW)
    await tx.execute(soon.values(next_at=_NOW))  # a person asks: one that is failing is not left alone for longer
    return _delivery(row)


def _of(webhook_id: str, states: Collection[DeliveryState]) -> Select[*tuple[Any, ...]]:
    named = webhook_delivery.c.state.in_([state.value for state in states]) if states else true()
    return select(*_DELIVERY).where(webhook_delivery.c.webhook_id == webhook_id, named)


def _webhook(row: Record) -> Webhook:
    return Webhook(
        id=row.id,
        url=row.url,
        event_types=tuple(EventType(each) for each in row.event_types),
        disable_reason=DisableReason(row.disable_reason) if row.disable_reason else None,
        disable_time=row.disable_time,
        failing_since=row.failing_since,
        version=row.version,
        create_time=row.create_time,
        update_time=row.update_time,
    )


def _delivery(row: Record) -> Delivery:
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        event_type=EventType(row.event_type),
        order_id=row.order_id,
        order_version=row.order_version,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        create_time=row.create_time,
        attempt_time=row.attempt_time,
        next_time=row.next_at,
        deliver_time=row.deliver_time,
        response_status=row.response_status,
        error=row.error,
    )
