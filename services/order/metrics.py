"""What order counts of its business."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.order.leases import Waiting
from services.order.state import Order, State

PROCESSING_BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Upper bounds in seconds: from a checkout nobody waits for to one that is given up."""


class OrderMetrics:
    """Orders made, called off and under way, and how long they take.

    Args:
        registry: The process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._created = Counter("orders_created_total", "Orders placed.", registry=registry)
        self._cancelled = Counter("orders_cancelled_total", "Orders called off.", registry=registry)
        self._processing = Histogram(
            "order_processing_time_seconds",
            "From placing an order to its decision.",
            ["outcome"],
            buckets=PROCESSING_BUCKETS,
            registry=registry,
        )
        self._active = Gauge("active_orders", "Orders for which something is still to be done.", registry=registry)
        self._age = Gauge(
            "order_saga_age_seconds", "Age of the oldest order waiting at a step.", ["step"], registry=registry
        )
        self._set_aside = Gauge(
            "orders_set_aside",
            "Orders set aside because a process could not read their history. More than none needs a person.",
            registry=registry,
        )
        self.asked_again = Counter(
            "order_saga_retries_total",
            "Steps whose answer was not to be had and that are asked again.",
            ["step", "reason"],
            registry=registry,
        )

    def changed(self, before: Order | None, after: Order) -> None:
        """Counts a committed change of an order."""
        if before is None:
            self._created.inc()
        elif before.state is not after.state:
            if before.state is State.PENDING:
                seconds = (after.updated_at - after.placed_at).total_seconds()
                self._processing.labels(after.state.value).observe(seconds)
            if after.state is State.CANCELLED:
                self._cancelled.inc()

    def under_way(self, by_step: Mapping[str, Waiting]) -> None:
        """Sets how many orders wait at each step, for how many seconds the oldest does, and how many are set aside."""
        self._active.set(sum(waiting.orders for waiting in by_step.values()))
        self._set_aside.set(sum(waiting.set_aside for waiting in by_step.values()))
        self._age.clear()
        for step, waiting in by_step.items():
            self._age.labels(step).set(waiting.oldest)
