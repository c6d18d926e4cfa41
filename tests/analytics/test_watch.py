"""Today's figures, as they change."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from typing import Any

import pytest

import mesh.streams
from mesh.bus.nats import NatsBus
from mesh.errors import InvalidArgument
from services.analytics.__main__ import build
from services.analytics.settings import AnalyticsSettings
from tests.analytics.conftest import Shop, refused
from tests.analytics.given import Buyer, amount, at, item, registers
from tests.harness import Harness, Tokens
from zoco.analytics.v1 import analytics_service_pb2 as service

NOON = at("2025-06-18T12:00:00")


async def build_at_noon(runtime: Any) -> Any:
    """The service, for which it is always the same time: no test lasts beyond its day."""
    runtime.clock = lambda: NOON
    return await build(runtime)


@pytest.fixture
async def shop(harness: Harness, tokens: Tokens, bus: NatsBus) -> AsyncIterator[Shop]:
    async with harness.running("analytics", build_at_noon, settings=AnalyticsSettings) as running:
        yield Shop(running, tokens, bus)


def watch(shop: Shop, position: str = "") -> Any:
    return shop.admin.WatchSales(service.WatchSalesRequest(position=position))


async def figures(stream: Any) -> service.WatchSalesResponse:
    """The next message that carries a summary."""
    async with asyncio.timeout(10):
        while True:
            message: service.WatchSalesResponse = await stream.read()
            if message.WhichOneof("message") == "summary":
                return message
            assert message.WhichOneof("message") == "heartbeat"


async def test_a_watch_begins_with_today_and_goes_on_with_each_change(shop: Shop) -> None:
    buyer = Buyer([item("10")])
    await shop.hear(*Buyer([item("5")]).buys(NOON), *Buyer().buys(NOON - timedelta(days=1)))
    stream = watch(shop)

    first = (await figures(stream)).summary
    assert (first.orders, first.revenue) == (1, amount("5"))
    midnight = NOON.replace(hour=0, minute=0, second=0, microsecond=0)
    assert first.start_time.ToDatetime(UTC) == midnight
    assert first.end_time.ToDatetime(UTC) == midnight + timedelta(days=1)

    await shop.publish(buyer.places(NOON))
    assert (await figures(stream)).summary.placed_orders == 2
    await shop.publish(buyer.is_confirmed(NOON))
    assert (await figures(stream)).summary.revenue == amount("15")
    await shop.publish(buyer.is_refunded("4", NOON))
    assert (await figures(stream)).summary.refunds == amount("4")
    await shop.publish(registers(NOON))
    assert (await figures(stream)).summary.new_users == 1


async def test_a_watch_resumes_with_what_is_new_only(shop: Shop) -> None:
    await shop.hear(*Buyer([item("5")]).buys(NOON))
    seen = await figures(watch(shop))
    resumed = watch(shop, seen.position)
    await shop.publish(*Buyer([item("6")]).buys(NOON))

    # Were the old figures sent again, they would come first.
    news = await figures(resumed)
    assert news.summary.placed_orders == 2
    assert news.position != seen.position


async def test_what_was_missed_comes_first_when_a_watch_resumes(shop: Shop) -> None:
    seen = await figures(watch(shop))
    await shop.hear(*Buyer([item("6")]).buys(NOON))

    assert (await figures(watch(shop, seen.position))).summary.revenue == amount("6")


async def test_a_watch_without_a_position_begins_anew_in_an_empty_shop(shop: Shop) -> None:
    message = await figures(watch(shop))

    assert (message.summary.orders, message.summary.revenue) == (0, amount("0"))
    assert message.position


async def test_a_position_of_another_stream_is_refused(shop: Shop) -> None:
    for position in ("7", "x" * 32, "A" * 32, "0" * 33, "é" * 32):
        wrong = await refused(watch(shop, position).read())
        assert isinstance(wrong, InvalidArgument)
        assert (wrong.reason, [each.field for each in wrong.field_violations]) == ("INVALID_FIELD", ["position"])


async def test_at_midnight_the_next_day_begins(harness: Harness, tokens: Tokens, bus: Any) -> None:
    clock = [at("2025-06-18T23:59:59.999999")]

    async def build_by_that_clock(runtime: Any) -> Any:
        runtime.clock = lambda: clock[0]
        return await build(runtime)

    async with harness.running("analytics", build_by_that_clock, settings=AnalyticsSettings) as running:
        shop = Shop(running, tokens, bus)
        await shop.hear(*Buyer([item("5")]).buys(clock[0]), *Buyer([item("3")]).buys(at("2025-06-19")))
        stream = watch(shop)
        assert (await figures(stream)).summary.revenue == amount("5")

        clock[0] = at("2025-06-19T00:00:00")
        assert (await figures(stream)).summary.revenue == amount("3")


async def test_a_watch_hears_of_what_another_process_noted(
    harness: Harness, tokens: Tokens, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both processes consume; whichever notes an event wakes the watches of the other."""
    monkeypatch.setattr(mesh.streams, "POLL_SECONDS", 60)  # a watch that nobody wakes hears nothing
    async with harness.running(
        "analytics", build_at_noon, settings=AnalyticsSettings, database_url=shop.service.database_url
    ) as running:
        other = Shop(running, tokens, shop.bus)
        streams = [watch(shop), watch(other)]
        for stream in streams:
            await figures(stream)
        for count in range(1, 4):
            await shop.publish(Buyer().places(NOON))
            for stream in streams:
                assert (await figures(stream)).summary.placed_orders == count
