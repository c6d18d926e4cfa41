"""What can be asked of analytics: one method a report."""

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.data import Database
from mesh.errors import invalid_field
from services.analytics import store
from services.analytics.domain import (
    MOST_INTERVALS,
    Interval,
    Measure,
    Period,
    Point,
    ProductSales,
    Summary,
    TooManyIntervals,
    day_of,
    starts_of,
)


@dataclass(frozen=True, kw_only=True)
class Analytics:
    """The reports. All are of the orders in the shop's currency."""

    database: Database
    clock: Clock
    currency: str
    """ISO 4217. Orders in another one, from before it was changed, are kept and not reported."""

    async def summarize(self, period: Period) -> Summary:
        """The shop in a period."""
        async with self.database.reading() as connection:
            return await store.summarize(connection, period, self.currency)

    async def today(self) -> Summary:
        """The shop since midnight UTC."""
        return await self.summarize(day_of(self.clock()))

    async def sales(self, period: Period, interval: Interval) -> Sequence[Point]:
        """Sales over time, oldest first, intervals without sales included.

        Raises:
            InvalidArgument: INVALID_FIELD: the period has too many intervals.
        """
        try:
            starts = starts_of(period, interval)
        except TooManyIntervals as many:
            raise invalid_field("interval", f"must divide the period into {MOST_INTERVALS} at most") from many
        async with self.database.reading() as connection:
            return await store.series(connection, period, starts, self.currency)

    async def top_products(self, period: Period, measure: Measure, most: int) -> Sequence[ProductSales]:
        """The products that sold best in a period, best first."""
        async with self.database.reading() as connection:
            return await store.top_products(connection, period, measure, most, self.currency)
