"""`python -m services.analytics`: puts the service together."""

from mesh.service import Runtime, Service, run
from services.analytics.app import Analytics
from services.analytics.consumers import subscriptions
from services.analytics.metrics import AnalyticsMetrics
from services.analytics.servicer import AnalyticsServicer
from services.analytics.settings import AnalyticsSettings
from zoco.analytics.v1.analytics_service_pb2_grpc import add_AnalyticsServiceServicer_to_server


async def build(runtime: Runtime[AnalyticsSettings]) -> Service:
    """Analytics on a runtime; production and tests share it."""
    analytics = Analytics(database=runtime.database, clock=runtime.clock, currency=runtime.settings.currency)
    servicer = AnalyticsServicer(analytics, clock=runtime.clock, wakes=runtime.wakes)
    return Service(
        servicers=[(add_AnalyticsServiceServicer_to_server, servicer)],
        subscriptions=subscriptions(AnalyticsMetrics(runtime.registry)),
    )


if __name__ == "__main__":
    run("analytics", build, settings=AnalyticsSettings)
