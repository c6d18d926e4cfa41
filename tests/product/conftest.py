"""A catalog that runs in the test's process, and those who speak to it: anyone, administrators, inventory's events."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.type.money_pb2 import Money
from sqlalchemy import text

from mesh.errors import MeshError, from_rpc_error
from mesh.ids import uuid7
from services.product.__main__ import build
from services.product.settings import ProductSettings
from tests.fixtures.events import Announcer, announcing
from tests.fixtures.servers import NatsServer, Postgres
from tests.harness import Harness, ServiceUnderTest, Tokens
from zoco.product.v1 import product_events_pb2 as events
from zoco.product.v1 import product_pb2
from zoco.product.v1 import product_service_pb2 as service
from zoco.product.v1.product_service_pb2_grpc import ProductServiceStub


async def refused(call: Awaitable[Any]) -> MeshError:
    """The typed error a call ends with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    pytest.fail(f"was not refused: {answer}")


def euros(cents: int, currency: str = "EUR") -> Money:
    sign = -1 if cents < 0 else 1
    units, rest = divmod(abs(cents), 100)
    return Money(currency_code=currency, units=sign * units, nanos=sign * rest * 10_000_000)


def row(name: str, category: str, *, line: int = 1, cents: int = 100, **more: Any) -> service.ImportRow:
    return service.ImportRow(line=line, name=name, category=category, price=euros(cents), **more)


def outcomes(results: Sequence[service.ImportResult]) -> list[str]:
    return [service.ImportResult.Outcome.Name(result.outcome) for result in results]


@dataclass(frozen=True)
class Shop:
    """The module's catalog."""

    running: ServiceUnderTest
    inventory: Announcer
    anyone: Any
    customer: Any
    admin: Any

    async def category(self, name: str = "") -> product_pb2.Category:
        made: product_pb2.Category = await self.admin.CreateCategory(
            service.CreateCategoryRequest(category=product_pb2.Category(name=name or f"Shelf {uuid7()}"))
        )
        return made

    async def create(self, *, key: str = "", initial_stock: int = 0, **fields: Any) -> product_pb2.Product:
        """A product; what is not said is made up."""
        if "category_id" not in fields:
            fields["category_id"] = (await self.category()).id
        message = product_pb2.Product(**{"name": "Thing", "price": euros(100), **fields})
        request = service.CreateProductRequest(product=message, initial_stock=initial_stock, request_id=key or uuid7())
        product: product_pb2.Product = await self.admin.CreateProduct(request)
        return product

    async def get(self, product_id: str) -> product_pb2.Product:
        product: product_pb2.Product = await self.anyone.GetProduct(service.GetProductRequest(id=product_id))
        return product

    async def update(self, product_id: str, *mask: str, etag: str = "", **fields: Any) -> product_pb2.Product:
        request = service.UpdateProductRequest(product=product_pb2.Product(id=product_id, etag=etag, **fields))
        request.update_mask.paths.extend(mask)
        product: product_pb2.Product = await self.admin.UpdateProduct(request)
        return product

    async def archive(self, product_id: str, etag: str = "") -> product_pb2.Product:
        product: product_pb2.Product = await self.admin.ArchiveProduct(
            service.ArchiveProductRequest(id=product_id, etag=etag)
        )
        return product

    async def names(self, **request: Any) -> list[str]:
        """The names on all pages of a list."""
        message = service.ListProductsRequest(**request)
        names: list[str] = []
        while True:
            page = await self.anyone.ListProducts(message)
            names += [product.name for product in page.products]
            if not page.next_page_token:
                return names
            message.page_token = page.next_page_token

    async def load(self, *rows: service.ImportRow) -> Sequence[service.ImportResult]:
        response = await self.admin.ImportProducts(service.ImportProductsRequest(rows=rows))
        results: Sequence[service.ImportResult] = response.results
        return results

    async def events(self, product_id: str) -> list[tuple[int, Message]]:
        """What was published of a product, with its version."""
        async with self.running.database.reading() as connection:
            rows = await connection.execute(
                text("SELECT version, type, payload FROM outbox WHERE aggregate_id = :id ORDER BY version"),
                {"id": product_id},
            )
            return [(each.version, _event(each.type, each.payload)) for each in rows]


def _event(name: str, payload: bytes) -> Message:
    event_class: type[Message] = getattr(events, name.rpartition(".")[2])
    return event_class.FromString(payload)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(
    postgres_session: Postgres, tmp_path_factory: pytest.TempPathFactory, pki: Path, tokens: Tokens
) -> AsyncIterator[Shop]:
    """One service for the tests of a module; each test has categories of its own."""
    nats = NatsServer(tmp_path_factory.mktemp("broker") / "nats")
    nats.start()
    try:
        harness = Harness(postgres_session, nats.url, pki, tokens)
        async with (
            announcing(nats.url, "inventory") as inventory,
            harness.running("product", build, settings=ProductSettings, ZOCO_STOCK_PATIENCE_SECONDS=0) as running,
        ):
            yield Shop(
                running,
                inventory,
                anyone=ProductServiceStub(running.channel("edge")),
                customer=ProductServiceStub(running.channel("edge", tokens.customer())),
                admin=ProductServiceStub(running.channel("edge", tokens.admin())),
            )
    finally:
        nats.stop()
        postgres_session.drop()
