"""An inventory that runs in the test's process, and those who speak to it: orders, administrators, anyone."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.errors import Aborted, DeadlineExceeded, MeshError, ResourceExhausted, Unavailable, from_rpc_error
from mesh.ids import uuid7
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tables import stock
from tests.fixtures.events import Announced, Announcer, announcing
from tests.fixtures.servers import NatsServer, Postgres, until
from tests.harness import Harness, ServiceUnderTest, Tokens
from zoco.inventory.v1 import inventory_events_pb2 as events
from zoco.inventory.v1 import inventory_service_pb2 as service
from zoco.inventory.v1 import stock_pb2
from zoco.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from zoco.product.v1.product_events_pb2 import ProductCreated
from zoco.product.v1.product_pb2 import Product


async def persistently(call: Callable[[], Awaitable[Any]]) -> MeshError | None:
    """Calls until there is an answer, as a saga does; gives the error where the answer is one."""
    while True:
        try:
            await call()
        except grpc.aio.AioRpcError as failure:
            error = from_rpc_error(failure)
            if not isinstance(error, Aborted | DeadlineExceeded | ResourceExhausted | Unavailable):
                return error
        else:
            return None


def line(product_id: str, quantity: int) -> service.StockLine:
    return service.StockLine(product_id=product_id, quantity=quantity)


def key(value: str = "") -> tuple[tuple[str, str], ...]:
    """The metadata of a call under a key; under one that nobody used before if none is given."""
    return (("idempotency-key", value or uuid7()),)


@dataclass(frozen=True)
class Warehouse:
    """The module's inventory."""

    running: ServiceUnderTest
    products: Announcer
    """The catalog."""
    order: Any
    """The order service."""
    anyone: Any
    customer: Any
    admin: Any

    async def announce(self, *pieces: tuple[str, int], event_ids: Sequence[str] = ()) -> None:
        """Says, as the catalog does, that products were created, each with so many pieces."""
        ids = list(event_ids) or [uuid7() for _ in pieces]
        await self.products.publish(
            [
                Announced(ProductCreated(product=Product(id=product_id), initial_stock=count), product_id, 1, event_id)
                for (product_id, count), event_id in zip(pieces, ids, strict=True)
            ]
        )

    async def product(self, pieces: int) -> str:
        """A product whose stock begins with so many pieces."""
        [product_id] = await self.products_with(pieces)
        return product_id

    async def products_with(self, *pieces: int) -> list[str]:
        ids = [uuid7() for _ in pieces]
        await self.announce(*zip(ids, pieces, strict=True))

        async def there() -> bool:
            response = await self.anyone.BatchGetStock(service.BatchGetStockRequest(product_ids=ids))
            return not response.missing_ids

        await until(there)
        return ids

    async def reserve(self, order_id: str, *lines: service.StockLine) -> service.ReserveStockResponse:
        response: service.ReserveStockResponse = await self.order.ReserveStock(
            service.ReserveStockRequest(order_id=order_id, lines=lines), metadata=key()
        )
        return response

    async def commit(self, order_id: str) -> None:
        await self.order.CommitStock(service.CommitStockRequest(order_id=order_id), metadata=key())

    async def release(self, order_id: str) -> None:
        await self.order.ReleaseStock(service.ReleaseStockRequest(order_id=order_id), metadata=key())

    async def adjust(self, product_id: str, delta: int, reason: str = "") -> stock_pb2.Stock:
        adjusted: stock_pb2.Stock = await self.admin.AdjustStock(
            service.AdjustStockRequest(product_id=product_id, delta=delta, reason=reason), metadata=key()
        )
        return adjusted

    async def pieces(self, product_id: str) -> tuple[int, int, int]:
        """Available, reserved and sold."""
        now = await self.admin.GetStock(service.GetStockRequest(product_id=product_id))
        return now.available, now.reserved, now.sold

    def counted(self, metric: str) -> float:
        """What a counter stands at."""
        return self.running.running.runtime.registry.get_sample_value(metric) or 0.0

    @asynccontextmanager
    async def changing(self, product_id: str, **columns: int) -> AsyncIterator[AsyncConnection]:
        """Somebody else's transaction, which has changed a stock and commits when the block ends."""
        change = (
            update(stock).where(stock.c.product_id == UUID(product_id)).values(**columns, version=stock.c.version + 1)
        )
        async with self.running.database.engine.begin() as connection:
            await connection.execute(change)
            yield connection

    async def somebody_waits(self) -> None:
        """Waits until one of inventory's statements waits for another transaction."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )

        async def waits() -> bool:
            async with self.running.database.reading() as connection:
                return bool((await connection.execute(text(waiting))).scalar_one())

        await until(waits)

    async def events(self, product_id: str) -> list[tuple[int, Message]]:
        """What was published of a product, with its version."""
        async with self.running.database.reading() as connection:
            rows = await connection.execute(
                text("SELECT version, type, payload FROM outbox WHERE aggregate_id = :id ORDER BY version"),
                {"id": product_id},
            )
            return [(row.version, _event(row.type, row.payload)) for row in rows]


def _event(name: str, payload: bytes) -> Message:
    event_class: type[Message] = getattr(events, name.rpartition(".")[2])
    return event_class.FromString(payload)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def warehouse(
    postgres_session: Postgres, tmp_path_factory: pytest.TempPathFactory, pki: Path, tokens: Tokens
) -> AsyncIterator[Warehouse]:
    """One service for the tests of a module; each test has products of its own."""
    nats = NatsServer(tmp_path_factory.mktemp("broker") / "nats")
    nats.start()
    try:
        harness = Harness(postgres_session, nats.url, pki, tokens)
        async with (
            announcing(nats.url, "product") as products,
            harness.running("inventory", build, settings=InventorySettings) as running,
        ):
            yield Warehouse(
                running,
                products,
                order=InventoryServiceStub(running.channel("order")),
                anyone=InventoryServiceStub(running.channel("edge")),
                customer=InventoryServiceStub(running.channel("edge", tokens.customer())),
                admin=InventoryServiceStub(running.channel("edge", tokens.admin())),
            )
    finally:
        nats.stop()
        postgres_session.drop()
