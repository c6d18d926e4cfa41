"""What the scheduled audit counts."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from mesh.audit import Invariant


class AuditMetrics:
    """The last audit, as Prometheus reads it. Until the first one there are no breaches to tell of, and no time.

    Args:
        registry: Where they go.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._breaches = Gauge(
            "zoco_audit_breaches", "What broke the invariant at the last audit.", ["invariant"], registry=registry
        )
        self._checked = Gauge("zoco_audit_checked", "What the last audit looked at.", ["invariant"], registry=registry)
        self._last = Gauge(
            "zoco_audit_last_run_timestamp_seconds", "When the last audit came to its end.", registry=registry
        )
        self._duration = Gauge("zoco_audit_duration_seconds", "How long the last audit took.", registry=registry)
        self.failures = Counter("zoco_audit_failures", "Audits that could not look.", registry=registry)
        for invariant in Invariant:
            self._breaches.labels(invariant.value)

    def ended(self, found: Mapping[str, Any], *, at: float, seconds: float) -> None:
        """Sets the figures of an audit, given as `zoco audit --json` prints it; the time is in Unix seconds."""
        for verdict in found["invariants"]:
            self._breaches.labels(verdict["id"]).set(verdict["breaches"])
            self._checked.labels(verdict["id"]).set(verdict["checked"])
        self._last.set(at)
        self._duration.set(seconds)
