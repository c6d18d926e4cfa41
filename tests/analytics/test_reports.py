"""Reports over the real wire, of events that came over a real broker."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from google.protobuf import json_format

from mesh.clock import utc_now
from mesh.ids import uuid7
from mesh.wire import timestamp_from_proto
from services.analytics.__main__ import build
from services.analytics.settings import AnalyticsSettings
from tests.analytics.conftest import Shop, assert_names, moment, refused
from tests.analytics.given import MINUTE, NOON, Buyer, amount, at, item, registers
from tests.fixtures.servers import until
from tests.harness import Harness, Tokens
from zoco.analytics.v1 import analytics_service_pb2 as service

DAY = timedelta(days=1)
HOUR = service.GetSalesRequest.HOUR
PER_DAY = service.GetSalesRequest.DAY
WEEK = service.GetSalesRequest.WEEK
MONTH = service.GetSalesRequest.MONTH


async def sales(shop: Shop, start: datetime, end: datetime, interval: Any = PER_DAY) -> list[Any]:
    response = await shop.admin.GetSales(
        service.GetSalesRequest(start_time=moment(start), end_time=moment(end), interval=interval)
    )
    return list(response.points)


async def top(shop: Shop, **arguments: Any) -> list[Any]:
    period = {"start_time": NOON - DAY, "end_time": NOON + DAY, **arguments}
    return list((await shop.admin.GetTopProducts(service.GetTopProductsRequest(**period))).products)


def starts(points: list[Any]) -> list[str]:
    return [timestamp_from_proto(point.start_time).isoformat(timespec="hours")[:13] for point in points]


async def test_a_summary_counts_what_happened_in_its_period(shop: Shop) -> None:
    lamps, chair, pending = Buyer([item("10.25", 2)]), Buyer([item("5.50")]), Buyer()
    await shop.hear(
        *lamps.buys(), *chair.buys(), pending.places(), lamps.is_refunded("1.25"), chair.cancels("5.50"), registers()
    )

    summary = await shop.summary(NOON - DAY, NOON + DAY)

    assert (summary.orders, summary.placed_orders, summary.new_users) == (2, 3, 1)
    assert (summary.revenue, summary.refunds) == (amount("26"), amount("6.75"))
    assert summary.average_order == amount("13")
    assert summary.conversion == pytest.approx(2 / 3)
    assert timestamp_from_proto(summary.start_time) == NOON - DAY
    assert timestamp_from_proto(summary.end_time) == NOON + DAY


async def test_a_report_shows_an_order_within_two_seconds(shop: Shop) -> None:
    await shop.summary()
    buyer = Buyer([item("10")])
    await shop.publish(registers(utc_now()), *buyer.buys(utc_now()))

    async def shows() -> bool:
        summary = await shop.summary()
        return (summary.revenue, summary.new_users) == (amount("10"), 1)

    await until(shows, seconds=2)


async def test_without_bounds_a_summary_is_of_the_last_thirty_days(shop: Shop) -> None:
    now = utc_now()
    await shop.hear(*Buyer([item("1")]).buys(now - 31 * DAY), *Buyer([item("2")]).buys(now - 29 * DAY))

    summary = await shop.summary()

    assert (summary.orders, summary.revenue) == (1, amount("2"))
    assert summary.end_time.seconds - summary.start_time.seconds == 30 * 86400
    assert (await shop.summary(start=now - 32 * DAY)).orders == 2
    assert (await shop.summary(end=now - 30 * DAY)).orders == 1


async def test_a_period_takes_in_its_start_and_leaves_out_its_end(shop: Shop) -> None:
    await shop.hear(*Buyer().buys(NOON), registers(NOON))

    for start, end, inside in [(NOON, NOON + MINUTE, 1), (NOON - MINUTE, NOON, 0), (NOON, NOON, 0)]:
        summary = await shop.summary(start, end)
        assert (summary.orders, summary.placed_orders, summary.new_users) == (inside,) * 3
        assert sum(point.orders for point in await sales(shop, start, end)) == inside
        assert len(await top(shop, start_time=start, end_time=end)) == inside


async def test_an_empty_period_is_all_zeros(shop: Shop) -> None:
    summary = await shop.summary(NOON, NOON + DAY)

    assert (summary.orders, summary.placed_orders, summary.conversion, summary.new_users) == (0, 0, 0.0, 0)
    assert summary.revenue == summary.refunds == summary.average_order == amount("0")
    points = await sales(shop, at("2025-06-18"), at("2025-06-20"))
    assert [(point.orders, point.revenue, point.units) for point in points] == [(0, amount("0"), 0)] * 2
    assert await sales(shop, NOON, NOON) == []
    assert await top(shop) == []


async def test_conversion_is_of_the_orders_placed_in_the_period_whenever_they_were_confirmed(shop: Shop) -> None:
    overnight, never, before = Buyer(), Buyer(), Buyer()
    await shop.hear(
        *(overnight.places(NOON), overnight.is_confirmed(NOON + DAY), never.places(NOON)),
        *(before.places(NOON - 2 * DAY), before.is_confirmed(NOON)),
    )

    summary = await shop.summary(NOON - MINUTE, NOON + MINUTE)

    assert (summary.placed_orders, summary.orders, summary.conversion) == (2, 1, 0.5)


async def test_a_confirmed_order_that_is_called_off_stays_revenue_and_becomes_a_refund(shop: Shop) -> None:
    buyer = Buyer([item("8")])
    await shop.hear(*buyer.buys(NOON), buyer.is_refunded("3", NOON), buyer.cancels("5", NOON + DAY))

    assert (await shop.summary(NOON, NOON + MINUTE)).refunds == amount("3")
    summary = await shop.summary(NOON, NOON + 2 * DAY)
    assert (summary.orders, summary.revenue, summary.refunds) == (1, amount("8"), amount("8"))
    assert summary.conversion == 1


async def test_an_order_called_off_before_it_was_confirmed_is_neither_revenue_nor_refund(shop: Shop) -> None:
    nothing_charged, charged, zero = Buyer(), Buyer(), Buyer()
    await shop.hear(
        *(nothing_charged.places(), nothing_charged.cancels(None)),
        *(charged.places(), charged.cancels("10"), zero.places(), zero.cancels("0")),
    )

    summary = await shop.summary(NOON - DAY, NOON + DAY)

    assert (summary.placed_orders, summary.orders, summary.conversion) == (3, 0, 0)
    assert summary.revenue == summary.refunds == amount("0")
    assert all(point.refunds == amount("0") for point in await sales(shop, NOON - DAY, NOON + DAY))


async def test_orders_in_another_currency_are_kept_and_not_reported(
    harness: Harness, shop: Shop, tokens: Tokens
) -> None:
    euros, dollars = Buyer([item("3")]), Buyer([item("7 USD")])
    await shop.hear(*euros.buys(), *dollars.buys(), dollars.is_refunded("2 USD"))

    summary = await shop.summary(NOON - DAY, NOON + DAY)
    assert (summary.orders, summary.placed_orders, summary.revenue, summary.refunds) == (
        *(1, 1, amount("3"), amount("0")),
    )
    assert [product.revenue for product in await top(shop)] == [amount("3")]
    assert [point.revenue for point in await sales(shop, NOON, NOON + MINUTE)] == [amount("3")]

    async with harness.running(
        "analytics",
        build,
        settings=AnalyticsSettings,
        database_url=shop.service.database_url,
        ZOCO_CURRENCY="USD",
    ) as american:
        other = await Shop(american, tokens, shop.bus).summary(NOON - DAY, NOON + DAY)
    assert (other.orders, other.revenue, other.refunds) == (1, amount("7 USD"), amount("2 USD"))


async def test_a_currency_without_decimals_is_reported_whole(harness: Harness, tokens: Tokens, bus: Any) -> None:
    async with harness.running("analytics", build, settings=AnalyticsSettings, ZOCO_CURRENCY="JPY") as running:
        shop = Shop(running, tokens, bus)
        await shop.hear(*Buyer([item("1000 JPY")]).buys(), *Buyer([item("501 JPY")]).buys())
        summary = await shop.summary(NOON - DAY, NOON + DAY)
    assert (summary.revenue, summary.average_order) == (amount("1501 JPY"), amount("751 JPY"))


async def test_a_series_has_a_point_for_each_interval(shop: Shop) -> None:
    early, late = Buyer([item("10", 2), item("1", 3)]), Buyer([item("5")])
    await shop.hear(*early.buys(at("2025-06-16T00:00")), *late.buys(at("2025-06-18T23:59:59.999999")))
    await shop.hear(late.is_refunded("2", at("2025-06-19T10:00")), *Buyer().buys(at("2025-06-20T00:00")))

    points = await sales(shop, at("2025-06-16"), at("2025-06-20"))

    assert starts(points) == ["2025-06-16T00", "2025-06-17T00", "2025-06-18T00", "2025-06-19T00"]
    assert [point.orders for point in points] == [1, 0, 1, 0]
    assert [point.units for point in points] == [5, 0, 1, 0]
    assert [point.revenue for point in points] == [amount(each) for each in ("23", "0", "5", "0")]
    assert [point.refunds for point in points] == [amount(each) for each in ("0", "0", "0", "2")]


async def test_intervals_begin_where_the_calendar_says_and_hold_what_lies_in_the_period(shop: Shop) -> None:
    """From Sunday evening to the night of Monday, the last day of June."""
    await shop.hear(
        *(*Buyer().buys(at("2025-06-29T22:29")), *Buyer().buys(at("2025-06-29T22:30"))),
        *(*Buyer().buys(at("2025-06-30T01:29")), *Buyer().buys(at("2025-06-30T01:30"))),
    )
    for interval, expected in {
        HOUR: ["2025-06-29T22", "2025-06-29T23", "2025-06-30T00", "2025-06-30T01"],
        PER_DAY: ["2025-06-29T00", "2025-06-30T00"],
        WEEK: ["2025-06-23T00", "2025-06-30T00"],
        MONTH: ["2025-06-01T00"],
        service.GetSalesRequest.INTERVAL_UNSPECIFIED: ["2025-06-29T00", "2025-06-30T00"],
    }.items():
        points = await sales(shop, at("2025-06-29T22:30"), at("2025-06-30T01:30"), interval)
        assert starts(points) == expected
        orders = [point.orders for point in points]
        assert orders == ([2] if len(points) == 1 else [1, *[0] * (len(points) - 2), 1])


async def test_bounds_in_another_time_zone_mean_the_same_moments(shop: Shop) -> None:
    """Half past midnight in Madrid is still yesterday in UTC, which is what intervals are in."""
    await shop.hear(*Buyer().buys(at("2025-06-18T00:30:00+02:00")))
    request = json_format.ParseDict(
        {"startTime": "2025-06-18T00:30:00+02:00", "endTime": "2025-06-18T00:31:00+02:00", "interval": "DAY"},
        service.GetSalesRequest(),
    )

    points = (await shop.admin.GetSales(request)).points

    assert [(start, point.orders) for start, point in zip(starts(points), points, strict=True)] == [
        ("2025-06-17T00", 1)
    ]


async def test_two_thousand_intervals_are_the_most(shop: Shop) -> None:
    start = at("2025-01-01")
    assert len(await sales(shop, start, start + timedelta(hours=2000), HOUR)) == 2000

    for interval, end in [(HOUR, start + timedelta(hours=2000, seconds=1)), (PER_DAY, at("9999-12-31"))]:
        assert_names(await refused(sales(shop, start, end, interval)), "interval")


async def test_the_calendar_has_ends(shop: Shop) -> None:
    first, last = at("0001-01-01"), at("9999-12-31T23:59:59.999999")
    assert (await shop.summary(first, last)).orders == 0
    assert (await shop.summary(end=first)).orders == 0
    assert starts(await sales(shop, at("9999-12-01"), last, MONTH)) == ["9999-12-01T00"]
    assert len(await sales(shop, at("9999-12-31T22:00"), last, HOUR)) == 2
    assert starts(await sales(shop, first, at("0001-01-05"), WEEK)) == ["0001-01-01T00"]


async def test_products_are_ranked_by_what_they_brought_or_by_pieces(shop: Shop) -> None:
    lamp, chair, nail = uuid7(), uuid7(), uuid7()
    await shop.hear(
        *Buyer([item("30", 1, product_id=lamp, name="Lamp"), item("0.10", 50, product_id=nail, name="Nail")]).buys(),
        *Buyer([item("20", 2, product_id=chair, name="Chair"), item("0.10", 50, product_id=nail, name="Nail")]).buys(),
        Buyer([item("99", 99, name="Never paid")]).places(),
        *Buyer([item("99", 99, name="Long ago")]).buys(NOON - 2 * DAY),
    )

    by_revenue = await top(shop)
    assert [(each.product_id, each.name, each.units, each.revenue) for each in by_revenue] == [
        (chair, "Chair", 2, amount("40")),
        (lamp, "Lamp", 1, amount("30")),
        (nail, "Nail", 100, amount("10")),
    ]
    by_units = await top(shop, by=service.GetTopProductsRequest.UNITS)
    assert [each.name for each in by_units] == ["Nail", "Chair", "Lamp"]
    assert await top(shop, by=service.GetTopProductsRequest.REVENUE, limit=1) == by_revenue[:1]


async def test_ten_products_are_ranked_unless_the_request_says_otherwise(shop: Shop) -> None:
    await shop.hear(*Buyer([item() for _ in range(12)]).buys())

    assert len(await top(shop)) == 10
    ranked = await top(shop, limit=100)
    assert [each.product_id for each in ranked] == sorted(each.product_id for each in ranked)
    assert len(ranked) == 12


async def test_a_product_has_the_name_it_was_last_sold_under(shop: Shop) -> None:
    lamp = uuid7()
    old = Buyer([item(product_id=lamp, name="Lamp")]).buys(NOON)
    new = Buyer([item(product_id=lamp, name="Lamp, reading")]).buys(NOON + MINUTE)
    await shop.hear(*new, *old)

    assert [(each.name, each.units) for each in await top(shop)] == [("Lamp, reading", 2)]
