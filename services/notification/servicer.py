"""NotificationService on the wire: requests into use cases, results into responses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mesh.call import current_call
from mesh.data.wakes import Wakes
from mesh.paging import next_token, number_key, read_page
from mesh.streams import Step, resumed_from, watch
from mesh.wire import masked_fields
from services.notification.app import Notifications
from services.notification.domain import Preferences
from services.notification.wire import (
    kind_from_proto,
    notification_to_proto,
    preferences_to_proto,
    sequence_from_position,
)
from zoco.notification.v1 import notification_pb2
from zoco.notification.v1 import notification_service_pb2 as service
from zoco.notification.v1.notification_service_pb2_grpc import NotificationServiceServicer


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
