"""Which events order hears, and what it does about them."""

from collections.abc import Sequence

from mesh.bus import Received, Subscription, on_batch
from mesh.data import Transaction
from services.order.app import Orders
from zoco.user.v1.user_events_pb2 import UserDeleted


def subscriptions(orders: Orders) -> Sequence[Subscription]:
    """Subject -> use case."""

    async def user_deleted(tx: Transaction, events: Sequence[Received[UserDeleted]]) -> None:
        await orders.forget(tx, [received.event.user_id for received in events])

    return (on_batch(UserDeleted, user_deleted),)
