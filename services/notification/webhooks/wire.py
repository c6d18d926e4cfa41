"""Between WebhookService's messages and the domain."""

from typing import Final

from mesh.wire import timestamp_to_proto
from services.notification.webhooks.domain import Delivery, DeliveryState, Webhook
from zoco.notification.v1 import webhook_pb2

FIELDS: Final = frozenset({"url", "event_types", "enabled"})
"""What an update can change."""

DisableReasonProto = webhook_pb2.Webhook.DisableReason
StateProto = webhook_pb2.WebhookDelivery.State


def webhook_to_proto(webhook: Webhook, *, secret: str = "") -> webhook_pb2.Webhook:
    """A webhook as administrators see it; with its secret where that is new."""
    reason = webhook.disable_reason.value if webhook.disable_reason else "DISABLE_REASON_UNSPECIFIED"
    return webhook_pb2.Webhook(
        id=webhook.id,
        url=webhook.url,
        event_types=[each.value for each in webhook.event_types],
        enabled=webhook.enabled,
        disable_reason=DisableReasonProto.Value(reason),
        disable_time=None if webhook.disable_time is None else timestamp_to_proto(webhook.disable_time),
        failing_since_time=None if webhook.failing_since is None else timestamp_to_proto(webhook.failing_since),
        secret=secret,
        create_time=timestamp_to_proto(webhook.create_time),
        update_time=timestamp_to_proto(webhook.update_time),
        etag=webhook.etag,
    )


def delivery_to_proto(delivery: Delivery) -> webhook_pb2.WebhookDelivery:
    """A delivery as administrators see it."""
    waits = delivery.state is DeliveryState.WAITING
    return webhook_pb2.WebhookDelivery(
        id=delivery.id,
        webhook_id=delivery.webhook_id,
        event_id=delivery.event_id,
        event_type=delivery.event_type.value,
        order_id=delivery.order_id,
        order_version=delivery.order_version,
        state=StateProto.Value(delivery.state.value),
        attempts=delivery.attempts,
        create_time=timestamp_to_proto(delivery.create_time),
        attempt_time=None if delivery.attempt_time is None else timestamp_to_proto(delivery.attempt_time),
        next_attempt_time=timestamp_to_proto(delivery.next_time) if waits else None,
        deliver_time=None if delivery.deliver_time is None else timestamp_to_proto(delivery.deliver_time),
        response_status=delivery.response_status or 0,
        error=delivery.error or "",
    )


def states_from_proto(state: webhook_pb2.WebhookDelivery.State.ValueType) -> tuple[DeliveryState, ...]:
    """The states that a filter names; none where it names none."""
    return (DeliveryState(StateProto.Name(state)),) if state else ()
