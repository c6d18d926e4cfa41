"""What analytics counts of its business."""

from prometheus_client import CollectorRegistry, Histogram


class AnalyticsMetrics:
    """How fresh the reports are.

    Args:
        registry: the process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.delay = Histogram(
            "projection_delay_seconds",
            "From when an event happened to when reports show it.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
            registry=registry,
        )
