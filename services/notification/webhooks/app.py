"""The use cases of WebhookService, and what an event of an order means for webhooks."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from mesh.bus import Received
from mesh.data import Database, Transaction
from mesh.errors import (
    AlreadyExists,
    FailedPrecondition,
    FieldViolation,
    etag_stale,
    invalid_field,
    not_found,
)
from mesh.ids import made_at, uuid7
from services.notification.webhooks import payload, signing, store
from services.notification.webhooks.addresses import NotAllowed, Rules, checked_url
from services.notification.webhooks.domain import (
    MOST_SECRETS,
    Delivery,
    DeliveryState,
    DisableReason,
    EventType,
    Webhook,
)
from services.notification.webhooks.sealing import Safe

WEBHOOK_WAKE = "webhook"
"""The key that wakes whoever sends deliveries."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a webhook an administrator decides."""

    url: str
    event_types: tuple[EventType, ...]
    enabled: bool


class Webhooks:
    """Webhooks and what they are told.

    Args:
        database: webhooks, sealed secrets, deliveries.
        safe: seals secrets.
        rules: where webhooks may go.
    """

    def __init__(self, *, database: Database, safe: Safe, rules: Rules) -> None:
        self._database = database
        self._safe = safe
        self._rules = rules

    async def tell(self, tx: Transaction, received: Received[Any], *, order_id: str) -> None:
        """Queues an event for every webhook that wants it, in the transaction that notes the event as handled."""
        event_type = payload.type_of(received.event)
        listeners = await store.listeners(tx, event_type)
        if not listeners:
            return
        facts = {
            "event_id": received.event_id,
            "event_type": event_type.value,
            "order_id": order_id,
            "order_version": received.version,
            "body": payload.body_of(received),
        }
        rows = [{"id": uuid7(), "webhook_id": webhook_id, **facts} for webhook_id in listeners]
        if await store.add_deliveries(tx, rows):
            tx.wake(WEBHOOK_WAKE)

    async def create(self, wanted: Wanted) -> tuple[Webhook, str]:
        """Makes a webhook; with it its secret, which nobody can read again.

        Raises:
            InvalidArgument: INVALID_FIELD: no webhook can have that URL.
            AlreadyExists: NAME_TAKEN: there is one for the URL.
            FailedPrecondition: WEBHOOKS_OFF.
        """
        url = self._checked(wanted.url)
        secret = self._new_secret()

        async def work(tx: Transaction) -> Webhook:
            webhook_id = uuid7()
            now = made_at(webhook_id)
            made = Webhook(
                id=webhook_id,
                url=url,
                event_types=wanted.event_types,
                disable_reason=None if wanted.enabled else DisableReason.BY_ADMINISTRATOR,
                disable_time=None if wanted.enabled else now,
                failing_since=None,
                version=1,
                create_time=now,
                update_time=now,
            )
            if not await store.insert(tx, made):
                raise _taken()
            await self._keep(tx, webhook_id, secret)
            return made

        return await self._database.transact(work), signing.shown(secret)

    async def get(self, webhook_id: str) -> Webhook:
        """One webhook.

        Raises:
            NotFound: There is none.
        """
        async with self._database.reading() as connection:
            found = await store.find(connection, _canonical(webhook_id))
        if found is None:
            raise not_found("webhook", webhook_id)
        return found

    async def page(self, *, before: str | None, limit: int) -> tuple[list[Webhook], int]:
        """Webhooks, newest first, before an id; and how many there are in all."""
        async with self._database.reading() as connection:
            return await store.page(connection, before=before, limit=limit), await store.count(connection)

    async def update(self, webhook_id: str, change: Callable[[Wanted], Wanted], *, etag: str) -> Webhook:
        """Changes what an administrator decides of a webhook.

        Args:
            webhook_id: Which.
            change: What it becomes, given what it is.
            etag: The version that is changed; empty for whichever is current.

        Raises:
            NotFound: There is none.
            Aborted: ETAG_STALE.
            AlreadyExists: NAME_TAKEN: another one has the URL.
            InvalidArgument: INVALID_FIELD: no webhook can have that URL.
        """

        async def work(tx: Transaction) -> Webhook:
            before = await _held(tx, webhook_id, etag=etag)
            was = Wanted(url=before.url, event_types=before.event_types, enabled=before.enabled)
            wanted = change(was)
            if wanted.url != was.url:
                wanted = replace(wanted, url=self._checked(wanted.url))
            if wanted == was:
                return before
            if await store.is_taken(tx, wanted.url, by_other_than=before.id):
                raise _taken()
            after = _changed(before, wanted, now=tx.clock())
            await store.save(tx, after)
            if after.enabled and (not before.enabled or after.url != before.url):
                await store.begin_anew(tx, after.id)
                tx.wake(WEBHOOK_WAKE)
                after = replace(after, failing_since=None)
            return after

        return await self._database.transact(work)

    async def delete(self, webhook_id: str, *, etag: str) -> None:
        """Deletes a webhook with its secrets and its deliveries.

        Raises:
            NotFound: There is none.
            Aborted: ETAG_STALE.
        """

        async def work(tx: Transaction) -> None:
            await store.remove(tx, (await _held(tx, webhook_id, etag=etag)).id)

        await self._database.transact(work)

    async def rotate(self, webhook_id: str, *, overlap: timedelta) -> tuple[Webhook, str]:
        """Gives a webhook a new secret; those of before hold for a while.

        Raises:
            NotFound: There is no such webhook.
            FailedPrecondition: STATE_CONFLICT: as many secrets are valid as may be; WEBHOOKS_OFF.
        """
        secret = self._new_secret()

        async def work(tx: Transaction) -> Webhook:
            webhook = await _held(tx, webhook_id)
            if await store.expire_secrets(tx, webhook.id, within=overlap) >= MOST_SECRETS:
                raise FailedPrecondition(
                    "STATE_CONFLICT",
                    f"{MOST_SECRETS} secrets are valid; wait for the oldest to end, or rotate without overlap",
                    metadata={"state": "ROTATING"},
                )
            await self._keep(tx, webhook.id, secret)
            return webhook

        return await self._database.transact(work), signing.shown(secret)

    async def deliveries(
        self, webhook_id: str, *, states: Collection[DeliveryState], before: str | None, limit: int
    ) -> tuple[list[Delivery], int]:
        """Deliveries of a webhook, newest first, before an id; and how many there are in all.

        Raises:
            NotFound: There is no such webhook.
        """
        webhook = await self.get(webhook_id)
        async with self._database.reading() as connection:
            return (
                await store.deliveries(connection, webhook.id, states=states, before=before, limit=limit),
                await store.count_deliveries(connection, webhook.id, states=states),
            )

    async def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Sends a delivery again, whatever became of it.

        Raises:
            NotFound: There is no such webhook, or it has no such delivery.
            FailedPrecondition: STATE_CONFLICT: the webhook is disabled.
        """

        async def work(tx: Transaction) -> Delivery:
            webhook = await _held(tx, webhook_id)
            if not webhook.enabled:
                raise FailedPrecondition(
                    "STATE_CONFLICT",
                    f"webhook {webhook.id} is disabled; enable it first",
                    metadata={"state": "DISABLED"},
                )
            delivery = await store.send_again(tx, webhook.id, _canonical(delivery_id))
            if delivery is None:
                raise not_found("delivery", delivery_id)
            tx.wake(WEBHOOK_WAKE)
            return delivery

        return await self._database.transact(work)

    def _checked(self, url: str) -> str:
        try:
            return checked_url(url, self._rules)
        except NotAllowed as refused:
            raise invalid_field("webhook.url", str(refused)) from refused

    def _new_secret(self) -> bytes:
        if not self._safe.can_seal:
            raise FailedPrecondition("WEBHOOKS_OFF", "there is no key under which secrets of webhooks could be kept")
        return signing.new_secret()

    async def _keep(self, tx: Transaction, webhook_id: str, secret: bytes) -> None:
        await store.add_secret(tx, uuid7(), webhook_id, self._safe.seal(secret, webhook_id=webhook_id))


async def _held(tx: Transaction, webhook_id: str, *, etag: str = "") -> Webhook:
    webhook = await store.find(tx.connection, _canonical(webhook_id), lock=True)
    if webhook is None:
        raise not_found("webhook", webhook_id)
    if etag and etag != webhook.etag:
        raise etag_stale(webhook.etag)
    return webhook


def _changed(before: Webhook, wanted: Wanted, *, now: datetime) -> Webhook:
    after = replace(before, url=wanted.url, event_types=wanted.event_types, version=before.version + 1, update_time=now)
    if wanted.enabled:
        return replace(after, disable_reason=None, disable_time=None)
    if before.enabled:
        return replace(after, disable_reason=DisableReason.BY_ADMINISTRATOR, disable_time=now)
    return after


def _canonical(text: str) -> str:
    """An id as the database has it; one that is none is nobody's."""
    try:
        return str(UUID(text))
    except ValueError:
        raise not_found("webhook", text) from None


def _taken() -> AlreadyExists:
    return AlreadyExists(
        "NAME_TAKEN",
        "there is a webhook for this URL",
        metadata={"resource": "webhook"},
        field_violations=[FieldViolation("webhook.url", "is taken")],
    )
