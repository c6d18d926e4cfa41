"""What the user service counts of its business."""

from prometheus_client import CollectorRegistry, Counter


class UserMetrics:
    """Sign-ups and log-ins.

    Args:
        registry: the process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sign_ups = Counter("sign_ups_total", "Accounts that people made.", registry=registry)
        self.logins = Counter("logins_total", "Log-ins that succeeded.", registry=registry)
        self.login_failures = Counter(
            "login_failures_total",
            "Passwords that were refused, at log-in or when a password is changed, by reason.",
            ["reason"],
            registry=registry,
        )
        self.refresh_token_reuses = Counter(
            "refresh_token_reuses_total",
            "Spent refresh tokens that were shown again; each ended its family.",
            registry=registry,
        )
