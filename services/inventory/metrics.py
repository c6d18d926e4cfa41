"""What inventory counts of its business."""

from prometheus_client import CollectorRegistry, Counter


class InventoryMetrics:
    """Low stock, and reservations that were refused.

    Args:
        registry: the process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.low = Counter("stock_low_total", "Stocks that fell below the threshold.", registry=registry)
        self.refused = Counter(
            "stock_reservations_refused_total", "Reservations refused because there was too little.", registry=registry
        )
