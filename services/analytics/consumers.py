"""Which events analytics hears. It does one thing with all of them: note what they say."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from mesh.bus import Received, Subscription, on_batch
from mesh.data import Transaction
from services.analytics.metrics import AnalyticsMetrics
from services.analytics.projections import project
from zoco.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefunded
from zoco.user.v1.user_events_pb2 import UserRegistered


def subscriptions(metrics: AnalyticsMetrics) -> Sequence[Subscription]:
    """Subject -> use case."""

    async def note(tx: Transaction, events: Sequence[Received[Any]]) -> None:
        await project(tx, events)
        now = tx.clock()
        for received in events:
            tx.after_commit(partial(metrics.delay.observe, (now - received.time).total_seconds()))

    return (
        on_batch(OrderPlaced, note),
        on_batch(OrderConfirmed, note),
        on_batch(OrderCancelled, note),
        on_batch(OrderRefunded, note),
        on_batch(UserRegistered, note),
    )
