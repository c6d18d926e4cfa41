"""security.md, "exhaustion": a service of the shop with three times the load that it can take."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import text

from mesh.ids import uuid7
from services.product.__main__ import build
from services.product.settings import ProductSettings
from tests.fixtures.events import announcing
from tests.fixtures.servers import until
from tests.harness import Harness, ServiceUnderTest
from tests.mesh.probe import status_of
from tests.mesh.shelf import tuned
from zoco.product.v1.product_service_pb2 import BatchGetProductsRequest, ListProductsRequest
from zoco.product.v1.product_service_pb2_grpc import ProductServiceStub

OK = (grpc.StatusCode.OK, "")
OVERLOADED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
TEN = {
    "max_in_flight": 10,
    "public_share": 0.6,
    "max_loop_lag": "30s",  # what a busy machine does to the event loop must not decide here
}
READERS = 6
"""Anonymous reads that fit."""


@pytest.fixture
async def catalog(harness: Harness, tmp_path: Path) -> AsyncIterator[ServiceUnderTest]:
    """The product service with room for ten calls."""
    tuning = tuned(tmp_path, shedding=TEN)
    async with (
        announcing(harness.nats_url, "inventory"),
        harness.running("product", build, settings=ProductSettings, ZOCO_TUNING=tuning) as running,
    ):
        yield running


async def test_three_times_the_load_is_answered_or_refused_but_never_broken(catalog: ServiceUnderTest) -> None:
    outside: Any = ProductServiceStub(catalog.channel("edge"))
    order: Any = ProductServiceStub(catalog.channel("order"))

    def reads(share: range) -> list[asyncio.Task[tuple[grpc.StatusCode, str]]]:
        # Each asks something else: equal reads are one.
        return [asyncio.create_task(status_of(outside.ListProducts(ListProductsRequest(query=f"{n}")))) for n in share]

    async with catalog.database.engine.begin() as other:
        await other.execute(text("LOCK TABLE product IN ACCESS EXCLUSIVE MODE"))  # a database that answers nobody
        asked = reads(range(3 * READERS))
        await until(lambda: sum(each.done() for each in asked) == 2 * READERS)
        neighbour = asyncio.create_task(status_of(order.BatchGetProducts(BatchGetProductsRequest(ids=[uuid7()]))))
        health = await HealthStub(catalog.channel()).Check(health_pb2.HealthCheckRequest(), timeout=5)

        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert {await each for each in asked if each.done()} == {OVERLOADED}
        assert not neighbour.done()

    # Whoever was let in is answered, and what came later, too.
    assert Counter(await asyncio.gather(*asked)) == {OK: READERS, OVERLOADED: 2 * READERS}
    assert await neighbour == OK
    assert set(await asyncio.gather(*reads(range(100, 100 + READERS)))) == {OK}
