"""Which events inventory hears, and what it does about them."""

from collections.abc import Sequence

from mesh.bus import Received, Subscription, on_batch
from mesh.data import Transaction
from services.inventory.app import Inventory
from zoco.product.v1.product_events_pb2 import ProductCreated


def subscriptions(inventory: Inventory) -> Sequence[Subscription]:
    """Subject -> use case."""

    async def product_created(tx: Transaction, events: Sequence[Received[ProductCreated]]) -> None:
        """A catalog file makes a hundred thousand products: their stock is made by the batch.

        A product that comes twice keeps what was said first, in one batch as in two.
        """
        pieces: dict[str, int] = {}
        for received in events:
            pieces.setdefault(received.event.product.id, received.event.initial_stock)
        await inventory.open_stock(tx, pieces)

    return (on_batch(ProductCreated, product_created),)
