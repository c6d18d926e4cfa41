"""AnalyticsService on the wire: requests into use cases, results into responses."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from mesh.clock import Clock
from mesh.data.wakes import Wakes
from mesh.streams import Step, resumed_from, watch
from services.analytics.app import Analytics
from services.analytics.projections import CHANGED
from services.analytics.wire import (
    interval_from_proto,
    measure_from_proto,
    period_from_proto,
    position_of,
    products_to_proto,
    require_position,
    sales_to_proto,
    summary_to_proto,
)
from zoco.analytics.v1 import analytics_service_pb2 as service
from zoco.analytics.v1 import report_pb2
from zoco.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceServicer

DEFAULT_PRODUCTS: Final = 10
"""How many products are ranked where the request does not say."""


PACE_SECONDS: Final = 0.25
"""How long, at least, between two looks of one watch: on a busy day there is a change at every moment."""


class AnalyticsServicer(AnalyticsServiceServicer):
    """The reports."""

    def __init__(self, analytics: Analytics, *, clock: Clock, wakes: Wakes) -> None:
        self._analytics = analytics
        self._clock = clock
        self._wakes = wakes

    async def GetSummary(self, request: service.GetSummaryRequest, context: Any) -> report_pb2.Summary:
        """The shop in one period."""
        period = period_from_proto(request, now=self._clock())
        return summary_to_proto(await self._analytics.summarize(period))

    async def GetSales(self, request: service.GetSalesRequest, context: Any) -> service.GetSalesResponse:
        """Sales over time."""
        period = period_from_proto(request, now=self._clock())
        return sales_to_proto(await self._analytics.sales(period, interval_from_proto(request.interval)))

    async def GetTopProducts(
        self, request: service.GetTopProductsRequest, context: Any
    ) -> service.GetTopProductsResponse:
        """The products that sold best."""
        period = period_from_proto(request, now=self._clock())
        most = request.limit or DEFAULT_PRODUCTS
        return products_to_proto(await self._analytics.top_products(period, measure_from_proto(request.by), most))

    async def WatchSales(  # type: ignore[override]  # it writes to the context, which gRPC allows and its types do not say
        self, request: service.WatchSalesRequest, context: Any
    ) -> None:
        """Today so far, and again whenever it changes; at midnight the next day begins."""
        position = resumed_from(request.position, context)
        require_position(position)  # refused before the stream begins
        loop = asyncio.get_running_loop()
        read_at = float("-inf")

        async def read(position: str) -> Sequence[Step]:
            nonlocal read_at
            await asyncio.sleep(max(0.0, read_at + PACE_SECONDS - loop.time()))
            read_at = loop.time()
            summary = summary_to_proto(await self._analytics.today())
            seen = position_of(summary)
            return [] if seen == position else [Step(service.WatchSalesResponse(summary=summary), seen)]

        await watch(
            context,
            response=service.WatchSalesResponse,
            position=position,
            read=read,
            wakes=self._wakes,
            keys=[CHANGED],
        )
