"""Between the contracts' messages and the domain: what comes in as events, what goes out to people."""

from typing import Final

from google.type.money_pb2 import Money as MoneyMessage

from mesh.bus import Received
from mesh.errors import invalid_field
from mesh.money import Money
from mesh.wire import money_from_proto, timestamp_to_proto
from services.notification import domain
from services.notification.domain import Contact, ContactState, Draft, Kind, Line, Notification, Preferences
from zoco.inventory.v1.inventory_events_pb2 import StockLow
from zoco.notification.v1 import notification_pb2
from zoco.order.v1.order_events_pb2 import (
    OrderCancelled,
    OrderConfirmed,
    OrderRefunded,
    OrderRejected,
    OrderShipped,
)
from zoco.user.v1.user_events_pb2 import UserRegistered, UserUpdated
from zoco.user.v1.user_pb2 import User

_LARGEST_SEQUENCE: Final = 2**63 - 1

KindProto = notification_pb2.Notification.Kind


def contact_of_registered(received: Received[UserRegistered]) -> Contact:
    """A new account as somebody who can be reached."""
    event = received.event
    return Contact(
        user_id=event.user_id,
        email=event.email,
        display_name=event.display_name,
        is_admin=event.role == User.ADMIN,
        state=ContactState.ACTIVE,
        version=received.version,
    )


def contact_of_updated(received: Received[UserUpdated]) -> Contact:
    """A changed account as somebody who can be reached."""
    event = received.event
    return Contact(
        user_id=event.user_id,
        email=event.email,
        display_name=event.display_name,
        is_admin=event.role == User.ADMIN,
        state=ContactState.ACTIVE if event.state == User.ACTIVE else ContactState.DISABLED,
        version=received.version,
    )


def confirmed(event: OrderConfirmed) -> Draft:
    """What to say of a confirmed order."""
    lines = [Line(item.name, item.quantity) for item in event.items]
    return domain.order_confirmed(event.order_id, lines=lines, total=_money(event.total_amount))


def rejected(event: OrderRejected) -> Draft:
    """What to say of a rejected order."""
    return domain.order_rejected(event.order_id, reason=event.rejection.reason, message=event.rejection.message)


def shipped(event: OrderShipped) -> Draft:
    """What to say of a shipped order."""
    shipment = event.shipment
    return domain.order_shipped(event.order_id, carrier=shipment.carrier, tracking_number=shipment.tracking_number)


def cancelled(event: OrderCancelled) -> Draft:
    """What to say of a cancelled order."""
    refunded = _money(event.refunded_amount) if event.refunded_amount.currency_code else None
    return domain.order_cancelled(event.order_id, reason=event.reason, refunded=refunded)


def refunded(event: OrderRefunded) -> Draft:
    """What to say of money given back."""
    return domain.order_refunded(
        event.order_id, amount=_money(event.amount), in_all=_money(event.refunded_amount), reason=event.reason
    )


def low(event: StockLow) -> Draft:
    """What to say of a product that is running out."""
    return domain.stock_low(event.stock.product_id, available=event.stock.available, threshold=event.threshold)


def notification_to_proto(notification: Notification) -> notification_pb2.Notification:
    """A notification as its person sees it."""
    draft = notification.draft
    return notification_pb2.Notification(
        id=notification.id,
        user_id=notification.user_id,
        kind=KindProto.Value(draft.kind.value),
        title=draft.title,
        body=draft.body,
        order_id=draft.order_id or "",
        product_id=draft.product_id or "",
        read=notification.read_time is not None,
        create_time=timestamp_to_proto(notification.create_time),
        read_time=None if notification.read_time is None else timestamp_to_proto(notification.read_time),
    )


def preferences_to_proto(preferences: Preferences) -> notification_pb2.Preferences:
    """Preferences as their person sees them."""
    return notification_pb2.Preferences(
        email_enabled=preferences.email_enabled,
        muted_kinds=sorted(KindProto.Value(kind.value) for kind in preferences.muted_kinds),
        update_time=None if preferences.update_time is None else timestamp_to_proto(preferences.update_time),
    )


def kind_from_proto(kind: notification_pb2.Notification.Kind.ValueType) -> Kind:
    """A kind as the domain names it. The contract lets no other value through."""
    return Kind(KindProto.Name(kind))


def sequence_from_position(position: str) -> int:
    """The sequence behind which a watch resumes.

    Raises:
        InvalidArgument: INVALID_FIELD: it is no position that a watch gave.
    """
    # Its length first: a header may have thousands of digits, which no int is made of.
    is_number = len(position) <= len(str(_LARGEST_SEQUENCE)) and position.isascii() and position.isdigit()
    if not is_number or int(position) > _LARGEST_SEQUENCE:
        raise invalid_field("position", "must be one that this watch gave")
    return int(position)


def _money(message: MoneyMessage) -> Money:
    return money_from_proto(message, field="amount")
