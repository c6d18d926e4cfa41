"""An order service that runs in the test's process among made-up neighbours, and people who speak to it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from google.type.postal_address_pb2 import PostalAddress
from sqlalchemy import text

from mesh.ids import uuid7
from mesh.money import Money
from mesh.wire import money_to_proto
from services.order.__main__ import build
from services.order.settings import OrderSettings
from tests.fixtures.servers import NatsServer, Postgres, until
from tests.harness import Harness, ServiceUnderTest, Tokens
from tests.order.neighbours import Inventory, Payment, Product
from zoco.inventory.v1.inventory_service_pb2_grpc import add_InventoryServiceServicer_to_server
from zoco.order.v1 import order_pb2
from zoco.order.v1 import order_service_pb2 as service
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub
from zoco.payment.v1.payment_service_pb2_grpc import add_PaymentServiceServicer_to_server
from zoco.product.v1.product_service_pb2_grpc import add_ProductServiceServicer_to_server

State = order_pb2.Order.State

ADDRESS: Final = PostalAddress(
    region_code="ES", postal_code="41004", locality="Sevilla", address_lines=["Calle Feria 1"]
)

QUICK: Final = {
    "ZOCO_ORDER_LEASE": 1.0,
    "ZOCO_ORDER_ANSWER_WITHIN": 5.0,
    "ZOCO_ORDER_POLL": 0.05,
    "ZOCO_ORDER_BACK_OFF_FIRST": 0.1,
    "ZOCO_ORDER_BACK_OFF_MOST": 0.5,
}
"""So that a test need not wait as long as a person would, and an order that can be decided is when it is answered."""


@dataclass(frozen=True)
class Person:
    """Somebody outside, with a token or without."""

    stub: Any
    user_id: str

    async def create(
        self, *lines: tuple[str, int], card: str = "tok_visa", key: str = "", address: PostalAddress = ADDRESS
    ) -> order_pb2.Order:
        items = [service.LineItem(product_id=product_id, quantity=quantity) for product_id, quantity in lines]
        request = service.CreateOrderRequest(items=items, payment_token=card, shipping_address=address, request_id=key)
        order: order_pb2.Order = await self.stub.CreateOrder(request)
        return order

    async def get(self, order_id: str, **past: Any) -> order_pb2.Order:
        order: order_pb2.Order = await self.stub.GetOrder(service.GetOrderRequest(id=order_id, **past))
        return order

    async def cancel(self, order_id: str, reason: str = "changed my mind") -> order_pb2.Order:
        order: order_pb2.Order = await self.stub.CancelOrder(service.CancelOrderRequest(id=order_id, reason=reason))
        return order

    async def refund(
        self, order_id: str, amount: Money | None = None, *, key: str = "", reason: str = "broken"
    ) -> order_pb2.Order:
        money = None if amount is None else money_to_proto(amount)
        request = service.RefundOrderRequest(id=order_id, amount=money, reason=reason, request_id=key)
        order: order_pb2.Order = await self.stub.RefundOrder(request)
        return order

    async def ship(self, order_id: str, carrier: str = "DHL", tracking_number: str = "42") -> order_pb2.Order:
        request = service.ShipOrderRequest(id=order_id, carrier=carrier, tracking_number=tracking_number)
        order: order_pb2.Order = await self.stub.ShipOrder(request)
        return order

    async def deliver(self, order_id: str) -> order_pb2.Order:
        order: order_pb2.Order = await self.stub.DeliverOrder(service.DeliverOrderRequest(id=order_id))
        return order

    async def trail(self, order_id: str) -> list[str]:
        """The names of what happened to an order."""
        request = service.ListOrderEventsRequest(id=order_id, page_size=100)
        return [event.type for event in (await self.stub.ListOrderEvents(request)).events]

    async def settled(self, order_id: str, *states: State.ValueType) -> order_pb2.Order:
        """The order, once it has come to one of some states."""

        async def come() -> order_pb2.Order | None:
            order = await self.get(order_id)
            return order if order.state in states else None

        order: order_pb2.Order = await until(come)
        return order


@dataclass
class Shop:
    """Order, its neighbours, and the tea and cups they trade in."""

    harness: Harness
    tokens: Tokens
    peers: Mapping[str, Sequence[str]]
    product: Product
    inventory: Inventory
    payment: Payment
    running: ServiceUnderTest | None = None
    """The process that was started last."""
    database_url: str | None = None

    def __post_init__(self) -> None:
        self.tea = self.stock("Tea", "4.50", 10)
        self.cup = self.stock("Cup", "12.00", 10)

    def stock(self, name: str, price: str, pieces: int, *, currency: str = "EUR") -> str:
        """Puts a product on sale; its id."""
        product_id = self.product.sell(name, Money.from_decimal(currency, price))
        self.inventory.available[product_id] = pieces
        return product_id

    @property
    def order(self) -> ServiceUnderTest:
        assert self.running is not None
        return self.running

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[ServiceUnderTest]:
        """Runs a process of order; the first makes the database, later ones find it."""
        async with self.harness.running(
            "order",
            build,
            settings=OrderSettings,
            peers=self.peers,
            database_url=self.database_url,
            **{**QUICK, **settings},
        ) as running:
            self.running, self.database_url = running, running.database_url
            yield running

    def customer(self, user_id: str | None = None, at: ServiceUnderTest | None = None) -> Person:
        user_id = user_id or uuid7()
        token = self.tokens.customer(user_id)
        return Person(OrderServiceStub((at or self.order).channel("edge", token)), user_id)

    def admin(self, at: ServiceUnderTest | None = None) -> Person:
        user_id = uuid7()
        return Person(OrderServiceStub((at or self.order).channel("edge", self.tokens.admin(user_id))), user_id)

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """What stands in order's database."""
        async with self.order.database.reading() as connection:
            return list(await connection.execute(text(query), values))

    async def change(self, statement: str, **values: Any) -> None:
        """Changes order's database behind its back."""
        async with self.order.database.reading() as connection:
            await connection.execute(text(statement), values)

    async def at_rest(self) -> None:
        """Returns when nothing is to be done for any order."""

        async def nothing_due() -> bool:
            return not await self.rows("SELECT 1 FROM saga")

        await until(nothing_due)


@dataclass
class Surroundings:
    """What the tests of a module share: a broker, the neighbours' servers, and a process of order."""

    harness: Harness
    peers: dict[str, Sequence[str]]
    product: Product = field(default_factory=Product)
    inventory: Inventory = field(default_factory=Inventory)
    payment: Payment = field(default_factory=Payment)
    standing: ServiceUnderTest | None = None

    def shop(self) -> Shop:
        """Neighbours that know nothing of the test before."""
        for neighbour in (self.product, self.inventory, self.payment):
            neighbour.begin()
        return Shop(self.harness, self.harness.tokens, self.peers, self.product, self.inventory, self.payment)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surroundings(
    postgres_session: Postgres, tmp_path_factory: pytest.TempPathFactory, pki: Path, tokens: Tokens
) -> AsyncIterator[Surroundings]:
    nats = NatsServer(tmp_path_factory.mktemp("order") / "nats")
    nats.start()
    around = Surroundings(Harness(postgres_session, nats.url, pki, tokens), {})
    try:
        async with AsyncExitStack() as stack:
            for name, servicer in (
                ("product", (add_ProductServiceServicer_to_server, around.product)),
                ("inventory", (add_InventoryServiceServicer_to_server, around.inventory)),
                ("payment", (add_PaymentServiceServicer_to_server, around.payment)),
            ):
                around.peers[name] = [await stack.enter_async_context(around.harness.neighbour(name, servicer))]
            around.standing = await stack.enter_async_context(around.shop().open())
            yield around
    finally:
        nats.stop()
        postgres_session.drop()


@pytest_asyncio.fixture(loop_scope="module")
async def neighbourhood(surroundings: Surroundings) -> Shop:
    """The neighbours, and no process of order yet."""
    return surroundings.shop()


@pytest_asyncio.fixture(loop_scope="module")
async def shop(surroundings: Surroundings) -> Shop:
    """A shop with a process of order that knows of no order."""
    fresh = surroundings.shop()
    fresh.running = surroundings.standing
    await fresh.change("TRUNCATE events, snapshots, saga, orders, shipping_address, outbox, idempotency")
    return fresh
