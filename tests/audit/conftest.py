"""One shop with orders of every kind, for all tests of the audit: each plants its breach, looks, and takes it back."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from cli.audit.auditing import audit
from cli.audit.comparison import Audit
from cli.audit.target import Target, running_target
from cli.local.home import Home
from cli.local.settings import LocalSettings
from tests.journeys.conftest import PASSWORD, order_of
from tests.journeys.running import RunningShop
from tests.ports import free_port

SETTLE = 30.0
_KEEP = "CREATE TABLE {kept} AS SELECT * FROM {table}"
_EMPTY = "DELETE FROM {table}"
_BACK = "INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {kept}"


@dataclass(frozen=True)
class Orders:
    """One order of each fate, by id."""

    confirmed: str
    cancelled: str
    refunded: str
    declined: str


@dataclass(frozen=True)
class Audited:
    """A shop, and what one needs to spoil it."""

    shop: RunningShop
    orders: Orders

    @contextmanager
    def at(self, service: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """The database of a service, as the server's superuser; each statement commits."""
        port = json.loads((self.shop.home / "run.json").read_text())["ports"]["postgres"]
        password = json.loads((self.shop.home / "secrets.json").read_text())["postgres"]
        with psycopg.connect(
            host="127.0.0.1",
            port=port,
            user="postgres",
            password=password,
            dbname=service,
            autocommit=True,
            cursor_factory=psycopg.ClientCursor,
        ) as connection:
            yield connection

    def do(self, service: str, *statements: str, **values: str) -> None:
        with self.at(service) as connection:
            for statement in statements:
                connection.execute(statement.encode(), values or None)

    def rows(self, service: str, query: str, **values: str) -> list[tuple[Any, ...]]:
        with self.at(service) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    @contextmanager
    def spoiled(self, service: str, tables: Sequence[str], *statements: str, **values: str) -> Iterator[None]:
        """Spoils tables for a while, and puts back all that they held, keys included."""
        self.do(service, *(_KEEP.format(table=table, kept=_kept(table)) for table in tables))
        try:
            self.do(service, *statements, **values)
            yield
        finally:
            with self.at(service) as connection:
                connection.execute("SET session_replication_role = replica")  # no foreign key is looked at meanwhile
                for table in tables:
                    connection.execute(_EMPTY.format(table=table).encode())
                    connection.execute(_BACK.format(table=table, kept=_kept(table)).encode())
                    connection.execute(f"DROP TABLE {_kept(table)}".encode())

    @contextmanager
    def without(self, service: str, table: str, constraint: str) -> Iterator[None]:
        """Takes a constraint away for a while. What it forbids has to be gone again at the end."""
        query = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %(name)s"
        [(definition,)] = self.rows(service, query, name=constraint)
        self.do(service, f"ALTER TABLE {table} DROP CONSTRAINT {constraint} CASCADE")
        try:
            yield
        finally:
            self.do(service, f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition}")

    def target(self, *canaries: str) -> Target:
        return running_target(LocalSettings(home=self.shop.home), Home(self.shop.home), canaries)

    async def audit(self, *canaries: str, settle: float = SETTLE, **options: Any) -> Audit:
        target = await asyncio.to_thread(self.target, *canaries)
        return await audit(target, settle=settle, **options)

    async def broken(self, *canaries: str, **options: Any) -> Mapping[str, str]:
        """The invariants that do not hold, each with what is wrong."""
        return broken(await self.audit(*canaries, **options))


def _kept(table: str) -> str:
    return f"kept_{table.replace('.', '_')}"


def broken(found: Audit) -> Mapping[str, str]:
    return {each.invariant.value: "\n".join(each.examples) for each in found.verdicts if each.breaches}


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    shop = RunningShop(tmp_path_factory.mktemp("audited"), free_port())
    shop.up()
    try:
        with httpx.Client(base_url=f"http://{shop.address}/v1", timeout=20) as client:
            yield Audited(shop, _live(shop, client))
    finally:
        shop.down()


def _live(shop: RunningShop, client: httpx.Client) -> Orders:
    """A life with the shop: every kind of order, more than one of some."""
    email, password = shop.admin
    admin = _token(client, email, password)
    client.post("/users", json={"email": "b@example.com", "password": PASSWORD, "displayName": "B"}).raise_for_status()
    buyer = _token(client, "b@example.com", PASSWORD)
    products: list[str] = []

    def are_on_sale() -> bool:
        listed = client.get("/products?pageSize=100").json()["products"]
        products[:] = [each["id"] for each in listed if each.get("availableQuantity", 0) >= 20][:5]
        return len(products) == 5

    until(are_on_sale)

    def buy(number: int, card: str = "tok_visa") -> None:
        body = order_of(products[number % 5], 1 + number % 2, card, requestId=f"audited-{number}")
        client.post("/orders", json=body, headers=buyer)

    cards = ["tok_visa"] * 6 + ["tok_declined", "tok_charged_then_timeout", "tok_error_once"]
    for number, card in enumerate(cards):
        buy(number, card)

    def listed() -> list[dict[str, Any]]:
        """The oldest first."""
        orders: list[dict[str, Any]] = client.get("/orders", headers=buyer).json()["orders"]
        return orders[::-1]

    def are_decided() -> bool:
        return [order["state"] for order in listed()] == ["CONFIRMED"] * 6 + ["REJECTED"] + ["CONFIRMED"] * 2

    until(are_decided, limit=120)
    bought = [order["id"] for order in listed()]
    client.post(f"/orders/{bought[1]}:cancel", json={"reason": "no more"}, headers=buyer).raise_for_status()
    amount = {"currencyCode": "EUR", "units": "1"}
    refund = {"amount": amount, "reason": "scratched", "requestId": "audited-refund"}
    client.post(f"/orders/{bought[2]}:refund", json=refund, headers=admin).raise_for_status()
    return Orders(confirmed=bought[0], cancelled=bought[1], refunded=bought[2], declined=bought[6])


def _token(client: httpx.Client, email: str, password: str) -> dict[str, str]:
    answer = client.post("/auth:login", json={"email": email, "password": password})
    answer.raise_for_status()
    return {"authorization": f"Bearer {answer.json()['accessToken']}"}


def until(condition: Callable[[], bool], limit: float = 30) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"not within {limit} s"
        time.sleep(0.1)
