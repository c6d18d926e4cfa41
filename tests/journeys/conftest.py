"""People in the running shop (tests/fixtures/shop.py)."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Json, Native, Rest, Transport

PASSWORD = "correct horse battery staple"
ADDRESS: Json = {
    "regionCode": "ES",
    "postalCode": "28013",
    "locality": "Madrid",
    "addressLines": ["Calle Mayor 1"],
}

_numbers = itertools.count(1)


@pytest.fixture(params=[Rest, Native], ids=["REST", "gRPC"])
async def transport(request: pytest.FixtureRequest, shop: RunningShop) -> AsyncIterator[Transport]:
    opened: Transport = request.param(shop.address)
    yield opened
    await opened.close()


@dataclass(frozen=True)
class Person:
    """Somebody with an account, logged in."""

    client: Client
    user: Json
    tokens: Json

    @property
    def id(self) -> str:
        return str(self.user["id"])

    async def call(self, method: str, request: Json | None = None, **options: Any) -> Json:
        return await self.client.call(method, request, **options)

    async def order(self, product_id: str, quantity: int = 1, card: str = "tok_visa", **more: Any) -> Json:
        return await self.call("OrderService.CreateOrder", order_of(product_id, quantity, card, **more))


def order_of(product_id: str, quantity: int = 1, card: str = "tok_visa", **more: Any) -> Json:
    """What to send to buy one product."""
    return {
        "items": [{"productId": product_id, "quantity": quantity}],
        "paymentToken": card,
        "shippingAddress": ADDRESS,
        **more,
    }


@pytest.fixture
def nobody(transport: Transport) -> Client:
    return Client(transport)


@pytest.fixture
def register(nobody: Client, shop: RunningShop) -> Callable[[], Awaitable[Person]]:
    async def register() -> Person:
        email = f"buyer{next(_numbers)}@example.com"
        user = await nobody.call(
            "UserService.Register", {"email": email, "password": PASSWORD, "displayName": "A Buyer"}
        )
        tokens = await nobody.call("AuthService.Login", {"email": email, "password": PASSWORD})
        return Person(nobody.with_token(tokens["accessToken"]), user, tokens)

    return register


@pytest.fixture
async def buyer(register: Callable[[], Awaitable[Person]]) -> Person:
    return await register()


@pytest.fixture
async def admin(nobody: Client, shop: RunningShop) -> Person:
    email, password = shop.admin
    tokens = await nobody.call("AuthService.Login", {"email": email, "password": password})
    return Person(nobody.with_token(tokens["accessToken"]), tokens["user"], tokens)


@pytest.fixture
def put_on_sale(admin: Person, nobody: Client) -> Callable[[int], Awaitable[Json]]:
    """Makes a product with so much stock, and waits until it can be bought."""

    async def put_on_sale(stock: int, price: str = "12.50") -> Json:
        categories = (await nobody.call("ProductService.ListCategories"))["categories"]
        units, _, cents = price.partition(".")
        product = await admin.call(
            "ProductService.CreateProduct",
            {
                "product": {
                    "name": f"Tested Teapot {next(_numbers)}",
                    "description": "A teapot that is ordered over and over.",
                    "price": {"currencyCode": "EUR", "units": units, "nanos": int(cents or 0) * 10_000_000},
                    "categoryId": categories[0]["id"],
                },
                "initialStock": stock,
            },
        )

        async def in_stock() -> bool:
            found = await nobody.call("InventoryService.BatchGetStock", {"productIds": [product["id"]]})
            return bool(found["stocks"]) and found["stocks"][0]["available"] == stock

        await eventually(in_stock, "first stock")
        return product

    return put_on_sale


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, limit: float = 15) -> None:
    """Waits for a condition, at most `limit` seconds."""
    try:
        async with asyncio.timeout(limit):
            while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"no {what} within {limit} s") from None


async def stock_of(admin: Person, product_id: str) -> tuple[int, int, int]:
    """Available, reserved and sold pieces."""
    stock = await admin.call("InventoryService.GetStock", {"productId": product_id})
    return stock["available"], stock["reserved"], stock["sold"]
