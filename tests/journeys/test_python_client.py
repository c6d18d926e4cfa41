"""A client outside the mesh that has the generated stubs and one channel helper."""

import json
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
from google.type.postal_address_pb2 import PostalAddress

from mesh.client import connect
from mesh.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, Unauthenticated
from mesh.ids import uuid7
from tests.journeys.running import RunningShop
from zoco.order.v1.order_pb2 import Order
from zoco.order.v1.order_service_pb2 import CreateOrderRequest, GetOrderRequest, LineItem, WatchOrderRequest
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub
from zoco.product.v1.product_service_pb2 import GetProductRequest, ListProductsRequest
from zoco.product.v1.product_service_pb2_grpc import ProductServiceStub
from zoco.user.v1.auth_service_pb2 import LoginRequest
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceStub
from zoco.user.v1.user_service_pb2 import RegisterRequest
from zoco.user.v1.user_service_pb2_grpc import UserServiceStub

PASSWORD = "correct horse battery staple"

# One mode is enough: what the edge says does not depend on how processes reach each other.
pytestmark = pytest.mark.parametrize("shop", ["inprocess"], indirect=True)


@pytest.fixture
async def nobody(shop: RunningShop) -> AsyncIterator[grpc.aio.Channel]:
    async with connect(shop.address) as channel:
        yield channel


@pytest.fixture
async def buyer(shop: RunningShop, nobody: grpc.aio.Channel) -> AsyncIterator[grpc.aio.Channel]:
    """Somebody who registers and logs in by the same helper."""
    email = f"{uuid7()}@example.com"
    account = RegisterRequest(email=email, password=PASSWORD, display_name="A Buyer")
    await UserServiceStub(nobody).Register(account)
    tokens = await AuthServiceStub(nobody).Login(LoginRequest(email=email, password=PASSWORD))
    async with connect(shop.address, token=tokens.access_token) as channel:
        yield channel


async def _order(nobody: grpc.aio.Channel, card: str = "tok_visa") -> CreateOrderRequest:
    found = await ProductServiceStub(nobody).ListProducts(ListProductsRequest(query="manchego", page_size=1))
    return CreateOrderRequest(
        items=[LineItem(product_id=found.products[0].id, quantity=1)],
        payment_token=card,
        shipping_address=PostalAddress(region_code="ES", address_lines=["Calle Mayor 1"]),
        request_id=uuid7(),
    )


async def test_it_buys_and_watches_the_order(nobody: grpc.aio.Channel, buyer: grpc.aio.Channel) -> None:
    orders = OrderServiceStub(buyer)
    placed = await orders.CreateOrder(await _order(nobody))
    assert placed.state == Order.CONFIRMED

    async for each in orders.WatchOrder(WatchOrderRequest(id=placed.id)):
        assert each.order.id == placed.id
        break


async def test_an_error_comes_with_its_reason_and_what_is_at_fault(
    nobody: grpc.aio.Channel, buyer: grpc.aio.Channel
) -> None:
    orders = OrderServiceStub(buyer)
    with pytest.raises(FailedPrecondition) as declined:
        await orders.CreateOrder(await _order(nobody, card="tok_declined"))
    assert declined.value.reason == "PAYMENT_DECLINED"
    assert declined.value.metadata["order_id"]

    with pytest.raises(InvalidArgument) as wrong:
        await orders.GetOrder(GetOrderRequest(id="no-uuid"))
    assert [each.field for each in wrong.value.field_violations] == ["id"]


async def test_without_a_token_it_is_nobody(nobody: grpc.aio.Channel) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await OrderServiceStub(nobody).GetOrder(GetOrderRequest(id=uuid7()))
    assert refused.value.reason == "TOKEN_MISSING"


async def test_a_token_that_is_renewed_is_asked_for_on_every_call(shop: RunningShop) -> None:
    asked: list[str] = []

    def give() -> str:
        asked.append("asked")
        return "damaged"

    async with connect(shop.address, token=give) as channel:
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await OrderServiceStub(channel).GetOrder(GetOrderRequest(id=uuid7()))
    assert len(asked) == 2


async def test_every_call_has_a_deadline_and_a_shorter_one_counts(shop: RunningShop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and never says a word
        host, port = silent.getsockname()
        async with connect(f"{host}:{port}") as channel:
            with pytest.raises(DeadlineExceeded):
                await ProductServiceStub(channel).GetProduct(GetProductRequest(id=uuid7()), timeout=0.2)


async def test_with_an_authority_it_speaks_tls(shop: RunningShop) -> None:
    port = json.loads((shop.home / "run.json").read_text())["ports"]["edge_tls"]
    async with connect(f"localhost:{port}", authority=shop.home / "pki" / "ca.pem") as channel:
        found = await ProductServiceStub(channel).ListProducts(ListProductsRequest(page_size=1))
    assert found.products
