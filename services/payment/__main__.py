"""`python -m services.payment`: puts the service together."""

from mesh.service import Runtime, Service, run
from services.payment.app import Payments
from services.payment.metrics import PaymentMetrics
from services.payment.providers.port import Provider
from services.payment.providers.sandbox import Sandbox
from services.payment.servicer import PaymentServicer
from services.payment.settings import PaymentSettings
from zoco.payment.v1.payment_service_pb2_grpc import add_PaymentServiceServicer_to_server


async def build(runtime: Runtime[PaymentSettings]) -> Service:
    """Payment on a runtime; production and tests share it."""
    sandbox = Sandbox(
        runtime.database,
        clock=runtime.clock,
        webhook_secret=runtime.settings.sandbox_webhook_secret.get_secret_value(),
        slow_seconds=runtime.settings.sandbox_slow_seconds,
    )
    providers: dict[str, Provider] = {sandbox.name: sandbox}
    payments = Payments(
        database=runtime.database,
        provider=providers[runtime.settings.provider],
        providers=providers,
        metrics=PaymentMetrics(runtime.registry),
    )
    return Service(servicers=[(add_PaymentServiceServicer_to_server, PaymentServicer(payments))])


if __name__ == "__main__":
    run("payment", build, settings=PaymentSettings)
