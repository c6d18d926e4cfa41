"""What payment counts of its business."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from mesh.money import Money
from services.payment.domain import Payment, State


class PaymentMetrics:
    """Payments by what became of them, and the money that moved.

    Args:
        registry: The process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._payments = Counter(
            "payments_total", "Payments by the state they came into.", ["state"], registry=registry
        )
        self._captured = Counter(
            "payments_captured_amount_total", "Money taken, in major units.", ["currency"], registry=registry
        )
        self._refunded = Counter(
            "payments_refunded_amount_total", "Money given back, in major units.", ["currency"], registry=registry
        )

        self.discrepancies = Gauge(
            "payment_discrepancies", "Open contradictions between our ledger and the providers'.", registry=registry
        )

    def changed(self, payment: Payment) -> None:
        """A payment came into a state."""
        self._payments.labels(payment.state.value).inc()
        if payment.state is State.CAPTURED:
            self._captured.labels(payment.amount.currency).inc(float(payment.captured.decimal))

    def refunded(self, amount: Money) -> None:
        """Money was given back."""
        self._refunded.labels(amount.currency).inc(float(amount.decimal))
