"""The real shop under the model: order, inventory, payment and product, each as production builds it, over mTLS.

They run in one process on a loop of their own, with one PostgreSQL and one NATS. Whoever asks is not on that loop, so
the shop goes on while the test thinks.
"""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from google.type.postal_address_pb2 import PostalAddress
from sqlalchemy import text

from mesh.credentials import client_credentials
from mesh.errors import STATUS_DETAILS_KEY, MeshError, from_rpc_error
from mesh.ids import uuid7
from mesh.money import Money
from mesh.policy import load_policy
from mesh.runtime import Build
from mesh.settings import MeshSettings
from mesh.wire import money_from_proto, money_to_proto
from services.inventory.__main__ import build as inventory
from services.inventory.settings import InventorySettings
from services.order.__main__ import build as order
from services.order.settings import OrderSettings
from services.payment.__main__ import build as payment
from services.payment.settings import PaymentSettings
from services.product.__main__ import build as product
from services.product.settings import ProductSettings
from tests.fixtures.servers import NatsServer, Postgres, until
from tests.harness import Harness, ServiceUnderTest, Tokens
from tests.model.model import Standing
from tests.ports import free_port
from zoco.inventory.v1 import inventory_service_pb2, stock_pb2
from zoco.order.v1 import order_pb2, order_service_pb2
from zoco.product.v1 import product_pb2, product_service_pb2

T = TypeVar("T")

BUILDS: Final[Mapping[str, tuple[Build[Any], type[MeshSettings]]]] = {
    "inventory": (inventory, InventorySettings),
    "payment": (payment, PaymentSettings),
    "product": (product, ProductSettings),
    "order": (order, OrderSettings),
}

QUICK: Final = {
    "ZOCO_GRACE_SECONDS": 0,  # a stop ends it in the middle of what it does
    "ZOCO_ORDER_ANSWER_WITHIN": 0.25,  # so that some orders are under way when their call returns
    "ZOCO_ORDER_LEASE": 1.0,
    "ZOCO_ORDER_POLL": 0.05,
    "ZOCO_ORDER_BACK_OFF_FIRST": 0.1,
    "ZOCO_ORDER_BACK_OFF_MOST": 0.5,
    "ZOCO_SANDBOX_SLOW_SECONDS": 0.4,
}

TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
"""Answers that say nothing about the next try. Every call of the model may be repeated, and is."""

ADDRESS: Final = PostalAddress(region_code="ES", postal_code="41004", address_lines=["Calle Feria 1"])


@dataclass(frozen=True)
class Answer:
    """What a call came to, byte for byte."""

    ok: bool
    body: bytes
    """The response, or the details of the error."""
    error: MeshError | None = field(default=None, compare=False)

    @property
    def reason(self) -> str:
        """Why it was refused; empty where it was not."""
        return self.error.reason if self.error else ""

    def order(self) -> order_pb2.Order:
        """The order it is."""
        assert self.ok, self.error
        return order_pb2.Order.FromString(self.body)

    @property
    def standing(self) -> Standing:
        """Where the order stands that it is."""
        return Standing(order_pb2.Order.State.Name(self.order().state))


@dataclass(frozen=True)
class Seen:
    """An order as everybody's books have it; money in cents."""

    standing: Standing
    refunded: int
    shipment: str
    payment: tuple[int, int]
    """Captured and refunded, in payment's table."""
    ledger: tuple[int, int]
    """The same in the provider's book."""


class Trade:
    """The running shop, asked from outside its loop."""

    def __init__(self, postgres: Postgres, nats: NatsServer, pki: Path, tokens: Tokens) -> None:
        self._harness = Harness(postgres, nats.url, pki, tokens)
        self._ports = {name: free_port() for name in BUILDS}
        self._running: dict[str, tuple[ServiceUnderTest, AsyncExitStack]] = {}
        self._urls: dict[str, str] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shop", daemon=True)
        self._category = ""
        self._admin = uuid7()
        self._policy = load_policy()

    def open(self) -> None:
        """Starts all services."""
        self._thread.start()
        for name in BUILDS:
            self._do(self._start(name))
            self._do(self._connect(name))
        category = product_service_pb2.CreateCategoryRequest(category=product_pb2.Category(name="Tested"))
        made = self.ask("product", "CreateCategory", category, by=self._admin, admin=True)
        self._category = product_pb2.Category.FromString(made.body).id

    def close(self) -> None:
        """Stops them."""
        for channel in self._channels.values():
            self._do(channel.close(None))
        for _, stack in self._running.values():
            self._do(stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def restart(self, name: str) -> None:
        """Ends a service in the middle of what it does, and starts it again on the same database."""
        self._do(self._restart(name))

    def ask(self, service: str, method: str, request: Message, *, by: str, admin: bool = False) -> Answer:
        """Calls through the contract as somebody, again and again while the answer is none."""
        return self._do(self._ask(service, method, request.SerializeToString(deterministic=True), by, admin=admin))

    def place_while_it_restarts(
        self, request: order_service_pb2.CreateOrderRequest, *, by: str, service: str
    ) -> Answer:
        """Places an order, and ends a service and starts it again as soon as the order is there, answered or not."""

        async def both() -> Answer:
            known = await self._count_of(by)
            encoded = request.SerializeToString(deterministic=True)
            asking = asyncio.create_task(self._ask("order", "CreateOrder", encoded, by, admin=False))
            while not asking.done() and await self._count_of(by) == known:  # noqa: ASYNC110 - another's transaction
                await asyncio.sleep(0.002)
            await self._restart(service)
            return await asking

        return self._do(both())

    def put_on_sale(self, name: str, *, price: int, pieces: int) -> str:
        """Makes a product and waits until its pieces can be bought; its id."""
        article = product_pb2.Product(
            name=name, price=money_to_proto(Money("EUR", price)), category_id=self._category, description="-"
        )
        request = product_service_pb2.CreateProductRequest(product=article, initial_stock=pieces, request_id=uuid7())
        made = self.ask("product", "CreateProduct", request, by=self._admin, admin=True)
        product_id = product_pb2.Product.FromString(made.body).id

        async def in_stock() -> bool:
            return product_id in await self._stock([product_id])

        self._do(until(in_stock))
        return product_id

    def stock(self, product_ids: Sequence[str]) -> Mapping[str, tuple[int, int, int]]:
        """Available, reserved and sold pieces."""
        return self._do(self._stock(product_ids))

    def orders_of(self, user_id: str) -> Mapping[str, Seen]:
        """All orders of somebody, by id."""
        return self._do(self._orders_of(user_id))

    def wait_until_reserved(self, order_id: str) -> None:
        """Returns when it is decided whether the pieces of an order are held."""

        async def reserved() -> bool:
            return bool(await self._rows("order", "SELECT 1 FROM orders WHERE id = :id AND version > 1", id=order_id))

        self._do(until(reserved))

    def wait_until_at_rest(self, order_id: str) -> int:
        """Returns when nothing is to be done for an order; what was captured, in cents."""

        async def at_rest() -> bool:
            return not await self._rows("order", "SELECT 1 FROM saga WHERE order_id = :id", id=order_id)

        self._do(until(at_rest, seconds=30))
        return self._do(self._ledger([order_id])).get(order_id, (0, 0))[0]

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _start(self, name: str) -> None:
        build, settings = BUILDS[name]
        stack = AsyncExitStack()
        running = await stack.enter_async_context(
            self._harness.running(
                name,
                build,
                settings=settings,
                peers={peer: [f"127.0.0.1:{port}"] for peer, port in self._ports.items() if peer != name},
                database_url=self._urls.get(name),
                **{**QUICK, "ZOCO_LISTEN": f"127.0.0.1:{self._ports[name]}"},
            )
        )
        self._running[name] = running, stack
        self._urls[name] = running.database_url

    async def _restart(self, name: str) -> None:
        _, stack = self._running.pop(name)
        await stack.aclose()
        await self._start(name)

    async def _connect(self, name: str) -> None:
        """Opens a channel as the edge. It outlives restarts, as the edge's do."""
        options = (
            ("grpc.ssl_target_name_override", name),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
        )
        credentials = client_credentials(self._harness.pki / "edge")
        self._channels[name] = grpc.aio.secure_channel(f"127.0.0.1:{self._ports[name]}", credentials, options=options)

    async def _ask(self, service: str, method: str, request: bytes, by: str, *, admin: bool) -> Answer:
        path = next(each.path for each in self._policy.of_workload(service) if each.path.endswith(f"/{method}"))
        call = self._channels[service].unary_unary(path, request_serializer=_as_it_is, response_deserializer=_as_it_is)
        tokens = self._harness.tokens
        headers = (("authorization", f"Bearer {tokens.admin(by) if admin else tokens.customer(by)}"),)
        answer: Answer | None = None

        async def answered() -> bool:
            nonlocal answer
            try:
                answer = Answer(ok=True, body=await call(request, timeout=10, metadata=headers))
            except grpc.aio.AioRpcError as error:
                details = dict(error.trailing_metadata() or ()).get(STATUS_DETAILS_KEY, b"")
                answer = Answer(ok=False, body=bytes(details), error=from_rpc_error(error))
                return error.code() not in TRANSIENT
            return True

        await until(answered, seconds=30)
        assert answer is not None
        return answer

    async def _stock(self, product_ids: Sequence[str]) -> Mapping[str, tuple[int, int, int]]:
        if not product_ids:
            return {}
        request = inventory_service_pb2.BatchGetStockRequest(product_ids=product_ids)
        answer = await self._ask("inventory", "BatchGetStock", request.SerializeToString(), self._admin, admin=True)
        found: Sequence[stock_pb2.Stock] = inventory_service_pb2.BatchGetStockResponse.FromString(answer.body).stocks
        return {each.product_id: (each.available, each.reserved, each.sold) for each in found}

    async def _orders_of(self, user_id: str) -> Mapping[str, Seen]:
        request = order_service_pb2.ListOrdersRequest(page_size=100)
        answer = await self._ask("order", "ListOrders", request.SerializeToString(), user_id, admin=False)
        page = order_service_pb2.ListOrdersResponse.FromString(answer.body)
        assert page.total_size == len(page.orders), "more orders than a page"
        ids = [each.id for each in page.orders]
        query = "SELECT order_id::text, captured, refunded FROM payment WHERE order_id = ANY(CAST(:ids AS uuid[]))"
        payments = {row.order_id: (row.captured, row.refunded) for row in await self._rows("payment", query, ids=ids)}
        ledger = await self._ledger(ids)
        return {
            each.id: Seen(
                Standing(order_pb2.Order.State.Name(each.state)),
                money_from_proto(each.refunded_amount, field="refunded_amount").minor,
                each.shipment.tracking_number,
                payments.get(each.id, (0, 0)),
                ledger.get(each.id, (0, 0)),
            )
            for each in page.orders
        }

    async def _count_of(self, user_id: str) -> int:
        rows = await self._rows("order", "SELECT count(*) FROM orders WHERE user_id = :user_id", user_id=user_id)
        return int(rows[0].count)

    async def _ledger(self, order_ids: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """Captured and refunded in the provider's book, in cents, by order."""
        query = """
            SELECT reference,
                coalesce(sum(amount) FILTER (WHERE operation = 'CAPTURE'), 0)::bigint AS captured,
                coalesce(sum(amount) FILTER (WHERE operation = 'REFUND'), 0)::bigint AS refunded
            FROM sandbox.ledger WHERE outcome = 'OK' AND reference = ANY(:ids) GROUP BY 1
            """
        rows = await self._rows("payment", query, ids=list(order_ids))
        return {row.reference: (row.captured, row.refunded) for row in rows}

    async def _rows(self, service: str, query: str, **values: Any) -> list[Any]:
        async with self._running[service][0].database.reading() as connection:
            return list(await connection.execute(text(query), values))


def _as_it_is(message: bytes) -> bytes:
    return message
