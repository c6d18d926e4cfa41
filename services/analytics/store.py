"""The queries of reports. Each is one statement: all its figures are of the same moment."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.money import Money
from services.analytics.domain import Measure, Period, Point, ProductSales, Summary

# What was given back counts where there was a sale: of an order that was charged, called off and never confirmed,
# neither the charge nor its return is a figure of the shop.
_SUMMARY: Final = text("""
    SELECT placed.orders AS placed_orders, placed.confirmed AS placed_and_confirmed, sold.orders, sold.revenue,
           given_back.refunds, joined.users AS new_users
    FROM (
        SELECT count(*) AS orders, count(sale.order_id) AS confirmed
        FROM placement LEFT JOIN sale ON sale.order_id = placement.order_id
        WHERE placement.currency = :currency AND place_time >= :start AND place_time < :end
    ) AS placed
    CROSS JOIN (
        SELECT count(*) AS orders, coalesce(sum(amount), 0) AS revenue
        FROM sale
        WHERE currency = :currency AND confirm_time >= :start AND confirm_time < :end
    ) AS sold
    CROSS JOIN (
        SELECT coalesce(sum(amount), 0) AS refunds
        FROM refund
        WHERE currency = :currency AND refund_time >= :start AND refund_time < :end
          AND EXISTS (SELECT FROM sale WHERE sale.order_id = refund.order_id)
    ) AS given_back
    CROSS JOIN (
        SELECT count(*) AS users FROM registration WHERE register_time >= :start AND register_time < :end
    ) AS joined
""")

# The intervals are those of the domain: width_bucket tells how many of them have begun by a time.
_SERIES: Final = text("""
    WITH sold AS (
        SELECT width_bucket(confirm_time, CAST(:starts AS timestamptz[])) AS place,
               count(*) AS orders, sum(amount) AS revenue, sum(units) AS units
        FROM sale
        WHERE currency = :currency AND confirm_time >= :start AND confirm_time < :end
        GROUP BY place
    ), given_back AS (
        SELECT width_bucket(refund_time, CAST(:starts AS timestamptz[])) AS place, sum(amount) AS refunds
        FROM refund
        WHERE currency = :currency AND refund_time >= :start AND refund_time < :end
          AND EXISTS (SELECT FROM sale WHERE sale.order_id = refund.order_id)
        GROUP BY place
    )
    SELECT place, coalesce(orders, 0) AS orders, coalesce(revenue, 0) AS revenue, coalesce(refunds, 0) AS refunds,
           coalesce(units, 0) AS units
    FROM sold FULL JOIN given_back USING (place)
""")

# Ranked first: only what is shown is looked up by name.
_TOP: Final = """
    SELECT ranked.product_id::text AS product_id, units, revenue, last_sold.name
    FROM (
        SELECT product_id, sum(units) AS units, sum(amount) AS revenue
        FROM sale_line
        WHERE currency = :currency AND confirm_time >= :start AND confirm_time < :end
        GROUP BY product_id
        ORDER BY {ranks}, product_id
        LIMIT :most
    ) AS ranked
    CROSS JOIN LATERAL (
        SELECT name
        FROM sale_line
        WHERE product_id = ranked.product_id
          AND currency = :currency AND confirm_time >= :start AND confirm_time < :end
        ORDER BY confirm_time DESC, order_id DESC, line DESC
        LIMIT 1
    ) AS last_sold
    ORDER BY {ranks}, ranked.product_id
"""

_RANKED: Final[Mapping[Measure, Any]] = {
    Measure.REVENUE: text(_TOP.format(ranks="revenue DESC, units DESC")),
    Measure.UNITS: text(_TOP.format(ranks="units DESC, revenue DESC")),
}


async def summarize(connection: AsyncConnection, period: Period, currency: str) -> Summary:
    """The shop in a period."""
    row = (await connection.execute(_SUMMARY, _bounds(period, currency))).mappings().one()
    return Summary(
        period=period,
        orders=row["orders"],
        placed_orders=row["placed_orders"],
        placed_and_confirmed=row["placed_and_confirmed"],
        revenue=Money(currency, int(row["revenue"])),
        refunds=Money(currency, int(row["refunds"])),
        new_users=row["new_users"],
    )


async def series(
    connection: AsyncConnection, period: Period, starts: Sequence[datetime], currency: str
) -> tuple[Point, ...]:
    """Sales of a period in the intervals that begin at `starts`, in their order, empty ones included."""
    if not starts:
        return ()
    rows = await connection.execute(_SERIES, {**_bounds(period, currency), "starts": list(starts)})
    found = {row["place"]: row for row in rows.mappings()}
    nothing = {"orders": 0, "revenue": 0, "refunds": 0, "units": 0}
    return tuple(
        Point(
            start=start,
            orders=row["orders"],
            revenue=Money(currency, int(row["revenue"])),
            refunds=Money(currency, int(row["refunds"])),
            units=int(row["units"]),
        )
        for place, start in enumerate(starts, start=1)
        for row in (found.get(place, nothing),)
    )


async def top_products(
    connection: AsyncConnection, period: Period, measure: Measure, most: int, currency: str
) -> tuple[ProductSales, ...]:
    """The `most` products that sold best in a period; of equals, the one with the lower id first."""
    rows = await connection.execute(_RANKED[measure], {**_bounds(period, currency), "most": most})
    return tuple(
        ProductSales(row["product_id"], row["name"], int(row["units"]), Money(currency, int(row["revenue"])))
        for row in rows.mappings()
    )


def _bounds(period: Period, currency: str) -> dict[str, Any]:
    return {"start": period.start, "end": period.end, "currency": currency}
