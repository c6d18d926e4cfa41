"""`python -m services.payment`: puts the service together."""

from datetime import timedelta
from functools import partial

from mesh.service import Runtime, Service, run
from services.payment.servicer import PaymentServicer
from services.payment.settings import PaymentSettings
from services.payment.tasks import close_at_the_end, reconcile
from services.payment.wiring import wire
from zoco.payment.v1.payment_service_pb2_grpc import add_PaymentServiceServicer_to_server


async def build(runtime: Runtime[PaymentSettings]) -> Service:
    """Payment on a runtime; production and tests share it."""
    wired = wire(runtime.settings, database=runtime.database, clock=runtime.clock, registry=runtime.registry)
    every = timedelta(minutes=runtime.settings.reconcile_minutes)
    servicer = PaymentServicer(wired.payments, wired.reconciliation)
    return Service(
        servicers=[(add_PaymentServiceServicer_to_server, servicer)],
        tasks=[
            partial(reconcile, wired.reconciliation, runtime.clock, every=every),
            *(partial(close_at_the_end, each) for each in wired.closable),
        ],
    )


if __name__ == "__main__":
    run("payment", build, settings=PaymentSettings)
