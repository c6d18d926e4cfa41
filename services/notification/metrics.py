"""What the notification service counts of its business."""

from prometheus_client import CollectorRegistry, Counter


class NotificationMetrics:
    """Notifications and mails.

    Args:
        registry: the process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.made = Counter("notifications_total", "Notifications made, by kind.", ["kind"], registry=registry)
        self.mails = Counter(
            "mails_total",
            "Attempts to send a mail, by outcome: sent, retried, given_up.",
            ["outcome"],
            registry=registry,
        )
