"""Which events the catalog hears, and what it does about them."""

from collections.abc import Sequence
from typing import Any

from mesh.bus import Received, Subscription, on_batch
from mesh.data import Transaction
from services.product.app import Catalog
from services.product.store import Availability
from zoco.inventory.v1.inventory_events_pb2 import StockAdjusted, StockCommitted, StockReleased, StockReserved


def subscriptions(catalog: Catalog) -> Sequence[Subscription]:
    """Subject -> use case."""

    async def stock_changed(tx: Transaction, events: Sequence[Received[Any]]) -> None:
        """Each event says how many pieces can be bought after it; its version says which one is the latest."""
        news = [Availability(each.aggregate_id, each.event.stock.available, each.version) for each in events]
        await catalog.hear(tx, news)

    return (
        on_batch(StockAdjusted, stock_changed),
        on_batch(StockReserved, stock_changed),
        on_batch(StockCommitted, stock_changed),
        on_batch(StockReleased, stock_changed),
    )
