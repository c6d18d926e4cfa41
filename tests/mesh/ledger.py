"""A small service for tests of the mesh: accounts with balances, counted in the transactions of events and calls."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from mesh.call import Call, IdempotencyKey, serving
from mesh.data import Database, Transaction
from mesh.data.event_store import event_store_table, snapshot_table
from mesh.data.tables import mesh_tables
from mesh.ids import uuid7
from mesh.policy import Audience, MethodPolicy
from zoco.order.v1.order_events_pb2 import OrderCancelled, OrderPlaced

METADATA = MetaData()
TABLES = mesh_tables(METADATA)
EVENTS = event_store_table(METADATA)
SNAPSHOTS = snapshot_table(METADATA)
ACCOUNT = Table(
    "account",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("balance", BigInteger, nullable=False),
)

METHOD = MethodPolicy(
    service="zoco.order.v1.OrderService",
    name="CreateOrder",
    workload="order",
    request_type="zoco.order.v1.CreateOrderRequest",
    response_type="zoco.order.v1.Order",
    client_streaming=False,
    server_streaming=False,
    audience=Audience.USER,
    callers=frozenset(),
    deadline=timedelta(seconds=5),
    keyed=True,
)


def prepare(url: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    METADATA.create_all(engine)


def key(name: str = "key-1", *, request: bytes = b"request", lease: float = 5, **changes: Any) -> IdempotencyKey:
    whole = IdempotencyKey("user:1", METHOD.path, name, sha256(request).digest(), timedelta(seconds=lease))
    return replace(whole, **changes)


@contextmanager
def a_call(idempotency_key: IdempotencyKey | None = None, *, correlation_id: str = "") -> Iterator[Call]:
    call = Call(METHOD, uuid7(), correlation_id or uuid7(), key=idempotency_key)
    with serving(call):
        yield call


async def add(tx: Transaction, account: str, amount: int = 1) -> None:
    await tx.execute(
        text(
            "INSERT INTO account VALUES (:id, :amount)"
            " ON CONFLICT (id) DO UPDATE SET balance = account.balance + excluded.balance"
        ),
        {"id": account, "amount": amount},
    )


async def balance(database: Database, account: str) -> int:
    return int(await scalar(database, "SELECT coalesce(sum(balance), 0) FROM account WHERE id = :id", id=account))


async def scalar(database: Database, query: str, **values: Any) -> Any:
    async with database.reading() as connection:
        return (await connection.execute(text(query), values)).scalar_one()


def placed(order_id: str = "") -> OrderPlaced:
    return OrderPlaced(order_id=order_id or uuid7())


def cancelled(order_id: str = "") -> OrderCancelled:
    return OrderCancelled(order_id=order_id or uuid7())


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    database = Database(url, workload="test", **options)
    try:
        yield database
    finally:
        await database.drain()
