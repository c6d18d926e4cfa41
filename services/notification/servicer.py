"""NotificationService and WebhookService on the wire: requests into use cases, results into responses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mesh.call import current_call
from mesh.data.wakes import Wakes
from mesh.errors import invalid_field
from mesh.paging import next_token, number_key, read_page, uuid_key
from mesh.streams import Step, resumed_from, watch
from mesh.wire import masked_fields
from services.notification.app import Notifications
from services.notification.domain import Preferences
from services.notification.webhooks.app import Wanted, Webhooks
from services.notification.webhooks.domain import DEFAULT_OVERLAP, EventType
from services.notification.webhooks.wire import FIELDS, delivery_to_proto, states_from_proto, webhook_to_proto
from services.notification.wire import (
    kind_from_proto,
    notification_to_proto,
    preferences_to_proto,
    sequence_from_position,
)
from zoco.notification.v1 import notification_pb2, webhook_pb2
from zoco.notification.v1 import notification_service_pb2 as service
from zoco.notification.v1 import webhook_service_pb2 as hooks
from zoco.notification.v1.notification_service_pb2_grpc import NotificationServiceServicer
from zoco.notification.v1.webhook_service_pb2_grpc import WebhookServiceServicer


class NotificationServicer(NotificationServiceServicer):
    """The RPCs of notifications. All are about the caller's own."""

    def __init__(self, notifications: Notifications, *, wakes: Wakes) -> None:
        self._notifications = notifications
        self._wakes = wakes

    async def ListNotifications(
        self, request: service.ListNotificationsRequest, context: Any
    ) -> service.ListNotificationsResponse:
        """A page, newest first."""
        page = read_page(request, number_key)
        found, total = await self._notifications.page(
            current_call().user_id,
            unread_only=request.unread_only,
            before=page.after[0] if page.after else None,
            limit=page.size + 1,
        )
        shown = found[: page.size]
        more = len(found) > page.size
        return service.ListNotificationsResponse(
            notifications=[notification_to_proto(notification) for notification in shown],
            next_page_token=next_token(request, [shown[-1].sequence]) if more else "",
            total_size=total,
        )

    async def MarkRead(self, request: service.MarkReadRequest, context: Any) -> notification_pb2.Notification:
        """A notification that was read."""
        return notification_to_proto(await self._notifications.mark_read(current_call().user_id, request.id))

    async def WatchNotifications(  # type: ignore[override]  # it writes to the context, which the types do not foresee
        self, request: service.WatchNotificationsRequest, context: Any
    ) -> None:
        """Notifications as they come."""
        user_id = current_call().user_id
        position = resumed_from(request.position, context) or str(await self._notifications.last_sequence(user_id))
        sequence_from_position(position)  # refused before the stream begins

        async def read(position: str) -> Sequence[Step]:
            found = await self._notifications.since(user_id, sequence_from_position(position))
            return [
                Step(
                    service.WatchNotificationsResponse(notification=notification_to_proto(notification)),
                    str(notification.sequence),
                )
                for notification in found
            ]

        await watch(
            context,
            response=service.WatchNotificationsResponse,
            position=position,
            read=read,
            wakes=self._wakes,
            keys=[user_id],
        )

    async def GetPreferences(
        self, request: service.GetPreferencesRequest, context: Any
    ) -> notification_pb2.Preferences:
        """What goes out by mail."""
        return preferences_to_proto(await self._notifications.preferences(current_call().user_id))

    async def UpdatePreferences(
        self, request: service.UpdatePreferencesRequest, context: Any
    ) -> notification_pb2.Preferences:
        """Something else that goes out by mail."""
        given = request.preferences
        changed = masked_fields(given, request.update_mask, {"email_enabled", "muted_kinds"})

        def change(before: Preferences) -> Preferences:
            after = before
            if "email_enabled" in changed:
                after = replace(after, email_enabled=given.email_enabled)
            if "muted_kinds" in changed:
                after = replace(after, muted_kinds=frozenset(kind_from_proto(kind) for kind in given.muted_kinds))
            return after

        return preferences_to_proto(await self._notifications.change_preferences(current_call().user_id, change))


class WebhookServicer(WebhookServiceServicer):
    """The RPCs of webhooks. All are for administrators."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhook(self, request: hooks.CreateWebhookRequest, context: Any) -> webhook_pb2.Webhook:
        """A new webhook, and its secret."""
        given = request.webhook
        wanted = Wanted(
            url=given.url,
            event_types=_event_types(given),
            enabled=given.enabled if given.HasField("enabled") else True,
        )
        webhook, secret = await self._webhooks.create(wanted)
        return webhook_to_proto(webhook, secret=secret)

    async def GetWebhook(self, request: hooks.GetWebhookRequest, context: Any) -> webhook_pb2.Webhook:
        """One webhook."""
        return webhook_to_proto(await self._webhooks.get(request.id))

    async def ListWebhooks(self, request: hooks.ListWebhooksRequest, context: Any) -> hooks.ListWebhooksResponse:
        """A page, newest first."""
        page = read_page(request, uuid_key)
        found, total = await self._webhooks.page(before=page.after[0] if page.after else None, limit=page.size + 1)
        shown = found[: page.size]
        return hooks.ListWebhooksResponse(
            webhooks=[webhook_to_proto(webhook) for webhook in shown],
            next_page_token=next_token(request, [shown[-1].id]) if len(found) > page.size else "",
            total_size=total,
        )

    async def UpdateWebhook(self, request: hooks.UpdateWebhookRequest, context: Any) -> webhook_pb2.Webhook:
        """A webhook that is another from now on."""
        given = request.webhook
        changed = masked_fields(given, request.update_mask, FIELDS)

        def change(before: Wanted) -> Wanted:
            after = before
            if "url" in changed:
                after = replace(after, url=given.url)
            if "event_types" in changed:
                after = replace(after, event_types=_event_types(given))
            if "enabled" in changed:
                if not given.HasField("enabled"):
                    raise invalid_field("webhook.enabled", "must be said where the mask names it")
                after = replace(after, enabled=given.enabled)
            return after

        return webhook_to_proto(await self._webhooks.update(given.id, change, etag=given.etag))

    async def DeleteWebhook(self, request: hooks.DeleteWebhookRequest, context: Any) -> hooks.DeleteWebhookResponse:
        """A webhook that is no more."""
        await self._webhooks.delete(request.id, etag=request.etag)
        return hooks.DeleteWebhookResponse()

    async def RotateWebhookSecret(self, request: hooks.RotateWebhookSecretRequest, context: Any) -> webhook_pb2.Webhook:
        """A webhook's new secret."""
        overlap = request.overlap.ToTimedelta() if request.HasField("overlap") else DEFAULT_OVERLAP
        webhook, secret = await self._webhooks.rotate(request.id, overlap=overlap)
        return webhook_to_proto(webhook, secret=secret)

    async def ListWebhookDeliveries(
        self, request: hooks.ListWebhookDeliveriesRequest, context: Any
    ) -> hooks.ListWebhookDeliveriesResponse:
        """A page of a webhook's deliveries, newest first."""
        page = read_page(request, uuid_key)
        found, total = await self._webhooks.deliveries(
            request.webhook_id,
            states=states_from_proto(request.state),
            before=page.after[0] if page.after else None,
            limit=page.size + 1,
        )
        shown = found[: page.size]
        return hooks.ListWebhookDeliveriesResponse(
            deliveries=[delivery_to_proto(delivery) for delivery in shown],
            next_page_token=next_token(request, [shown[-1].id]) if len(found) > page.size else "",
            total_size=total,
        )

    async def RedeliverWebhook(
        self, request: hooks.RedeliverWebhookRequest, context: Any
    ) -> webhook_pb2.WebhookDelivery:
        """A delivery that is sent again."""
        return delivery_to_proto(await self._webhooks.redeliver(request.webhook_id, request.id))


def _event_types(webhook: webhook_pb2.Webhook) -> tuple[EventType, ...]:
    """What a webhook wants to hear of; the contract lets no other names through."""
    return tuple(EventType(each) for each in webhook.event_types)
