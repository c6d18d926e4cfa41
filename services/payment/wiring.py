"""Payment out of its settings: providers, use cases; for the service and for a single round of reconciliation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry

from mesh.clock import Clock
from mesh.data import Database
from services.payment.app import Payments
from services.payment.metrics import PaymentMetrics
from services.payment.providers.port import Provider
from services.payment.providers.sandbox import Sandbox
from services.payment.reconciliation import Reconciliation
from services.payment.settings import PaymentSettings
from services.payment.tasks import Closable


@dataclass(frozen=True, kw_only=True)
class Wired:
    """What was put together."""

    payments: Payments
    reconciliation: Reconciliation
    closable: Sequence[Closable]
    """Providers with connections of their own."""


def wire(settings: PaymentSettings, *, database: Database, clock: Clock, registry: CollectorRegistry) -> Wired:
    """Puts payment together. A provider that is configured serves the payments it made, whoever gets the new ones."""
    sandbox = Sandbox(
        database,
        clock=clock,
        webhook_secret=settings.sandbox_webhook_secret.get_secret_value(),
        slow_seconds=settings.sandbox_slow_seconds,
    )
    providers: dict[str, Provider] = {sandbox.name: sandbox}
    closable: list[Closable] = []
    if settings.stripe_api_key is not None and settings.stripe_webhook_secret is not None:
        # The SDK takes 13 MB and 0.3 s: who does without Stripe does not pay for it.
        from services.payment.providers.stripe import Stripe  # noqa: PLC0415 - see above

        stripe = Stripe(
            api_key=settings.stripe_api_key.get_secret_value(),
            webhook_secret=settings.stripe_webhook_secret.get_secret_value(),
            api_base=settings.stripe_api_base,
            timeout=timedelta(seconds=settings.stripe_timeout_seconds),
        )
        providers[stripe.name] = stripe
        closable.append(stripe)
    metrics = PaymentMetrics(registry)
    payments = Payments(database=database, provider=providers[settings.provider], providers=providers, metrics=metrics)
    return Wired(
        payments=payments,
        reconciliation=Reconciliation(payments=payments, database=database, clock=clock, metrics=metrics),
        closable=closable,
    )
