"""Which events the notification service hears, what it says about them, and which of them webhooks are told."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mesh.bus import Received, Subscription, on
from mesh.data import Transaction
from services.notification import domain, wire
from services.notification.app import Notifications
from services.notification.domain import Draft
from services.notification.webhooks.app import Webhooks
from zoco.inventory.v1.inventory_events_pb2 import StockLow
from zoco.order.v1.order_events_pb2 import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderShipped,
)
from zoco.user.v1.user_events_pb2 import UserDeleted, UserDisabled, UserRegistered, UserUpdated

OrderEvent = TypeVar("OrderEvent", OrderConfirmed, OrderRejected, OrderShipped, OrderCancelled, OrderRefunded)


@dataclass(frozen=True)
class UseCases:
    """What events lead to here."""

    notifications: Notifications
    webhooks: Webhooks


def subscriptions(cases: UseCases) -> Sequence[Subscription]:
    """Subject -> use cases."""

    async def registered(tx: Transaction, received: Received[UserRegistered]) -> None:
        await cases.notifications.know(tx, wire.contact_of_registered(received))
        await cases.notifications.notify(tx, received.event.user_id, domain.welcome(), event_id=received.event_id)

    async def updated(tx: Transaction, received: Received[UserUpdated]) -> None:
        await cases.notifications.know(tx, wire.contact_of_updated(received))

    async def disabled(tx: Transaction, received: Received[UserDisabled]) -> None:
        await cases.notifications.disable(tx, received.event.user_id, version=received.version)

    async def deleted(tx: Transaction, received: Received[UserDeleted]) -> None:
        await cases.notifications.forget(tx, received.event.user_id, version=received.version)

    async def stock_low(tx: Transaction, received: Received[StockLow]) -> None:
        await cases.notifications.notify_administrators(tx, wire.low(received.event), event_id=received.event_id)

    def tell_buyer(
        draft: Callable[[OrderEvent], Draft],
    ) -> Callable[[Transaction, Received[OrderEvent]], Awaitable[None]]:
        async def handle(tx: Transaction, received: Received[OrderEvent]) -> None:
            event = received.event
            await cases.notifications.notify(tx, event.user_id, draft(event), event_id=received.event_id)
            await cases.webhooks.tell(tx, received, order_id=event.order_id)

        return handle

    async def tell_webhooks(tx: Transaction, received: Received[OrderPlaced] | Received[OrderDelivered]) -> None:
        await cases.webhooks.tell(tx, received, order_id=received.event.order_id)

    return (
        on(UserRegistered, registered),
        on(UserUpdated, updated),
        on(UserDisabled, disabled),
        on(UserDeleted, deleted),
        on(OrderPlaced, tell_webhooks),
        on(OrderConfirmed, tell_buyer(wire.confirmed)),
        on(OrderRejected, tell_buyer(wire.rejected)),
        on(OrderShipped, tell_buyer(wire.shipped)),
        on(OrderDelivered, tell_webhooks),
        on(OrderCancelled, tell_buyer(wire.cancelled)),
        on(OrderRefunded, tell_buyer(wire.refunded)),
        on(StockLow, stock_low),
    )
