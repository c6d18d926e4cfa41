"""What the notification service counts of its business."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class NotificationMetrics:
    """Notifications, mails and what webhooks are told.

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
        self.webhook_attempts = Counter(
            "webhook_attempts_total",
            "Attempts to tell a webhook something, by outcome: delivered, retried, given_up.",
            ["outcome"],
            registry=registry,
        )
        self.webhooks_disabled = Counter(
            "webhooks_disabled_total",
            "Webhooks that were disabled by what they answered, or did not: GONE, FAILING.",
            ["reason"],
            registry=registry,
        )
        self.webhook_waiting = Gauge(
            "webhook_deliveries_waiting", "Deliveries that have not arrived, late ones included.", registry=registry
        )
        self.webhook_due = Gauge(
            "webhook_deliveries_due", "Deliveries that should be sent now, or are late.", registry=registry
        )
