"""Connections to PostgreSQL: a bounded pool, limits set on each session, and no waiting for a server that is gone."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import psycopg
from sqlalchemy import event, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

DEAD_PEER: Final[Mapping[str, Any]] = {
    # A peer that vanished without a word is noticed after about ten seconds, whether we are waiting or sending.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq parameters, https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS."""


@dataclass(frozen=True)
class Limits:
    """How much a process may take of its database, and how long anything may last."""

    pool_size: int = 10
    """Connections at most; more work waits for one."""
    pool_wait: timedelta = timedelta(seconds=5)
    """How long work waits for a free connection before it is refused."""
    connect: timedelta = timedelta(seconds=3)
    statement: timedelta = timedelta(seconds=5)
    lock: timedelta = timedelta(seconds=3)
    idle_in_transaction: timedelta = timedelta(seconds=10)
    transaction: timedelta = timedelta(seconds=15)
    """How long a transaction may take as this side sees it; then its connection is cut, even if the server hangs."""


def make_engine(url: str, *, application: str, limits: Limits) -> AsyncEngine:
    """An engine for `postgresql://...` whose sessions carry the limits. Connects when first used."""
    session = {
        "statement_timeout": _milliseconds(limits.statement),
        "lock_timeout": _milliseconds(limits.lock),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle_in_transaction),
        # Short statements only: compiling a plan costs more than it saves.
        "jit": "off",
        "timezone": "UTC",
    }
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=limits.pool_size,
        max_overflow=0,
        pool_timeout=limits.pool_wait.total_seconds(),
        pool_use_lifo=True,  # the warmest connection first: it has the statements prepared
        pool_recycle=1800,  # so that a database that moved is found again without a restart
        hide_parameters=True,  # errors are logged; addresses and hashes are not
        connect_args={
            "application_name": application,
            "connect_timeout": max(2, round(limits.connect.total_seconds())),
            "prepare_threshold": 3,
            "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
            **DEAD_PEER,
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_a_closed_connection)
    return engine


@asynccontextmanager
async def opened(
    engine: AsyncEngine, spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
) -> AsyncIterator[AsyncConnection]:
    """A connection that goes back into the pool even if the caller is cancelled while it is being opened.

    A cancelled `connect` forgets the connection it has just been given: it would stay out of the pool until the garbage
    collector finds it.

    Args:
        engine: Whose connection.
        spawn: Makes a task of opening and of closing, which both go on when the caller is gone.
    """
    connection = engine.connect()
    opening = spawn(connection.start())
    try:
        await asyncio.shield(opening)
        yield connection
    finally:
        await asyncio.shield(spawn(_close(connection, opening)))


async def _close(connection: AsyncConnection, opening: asyncio.Task[Any]) -> None:
    await asyncio.wait([opening])
    if opening.exception() is None:
        await connection.close()


async def driver_connection(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection under a SQLAlchemy one."""
    raw = (await connection.get_raw_connection()).driver_connection
    assert isinstance(raw, psycopg.AsyncConnection)  # noqa: S101 - the engine above makes no other
    return raw


@contextmanager
def cut_after(connection: psycopg.AsyncConnection[Any], limit: timedelta) -> Iterator[None]:
    """Cuts the connection if the code inside takes longer than the limit.

    The server's own timeouts do not help against a server that hangs or a network that swallows packets, and cancelling
    would wait for an answer, too. Shutting the socket down makes the waiting call fail at once, as if the server had
    closed it.
    """
    alarm = asyncio.get_running_loop().call_later(limit.total_seconds(), _cut, connection)
    try:
        yield
    finally:
        alarm.cancel()


def _cut(connection: psycopg.AsyncConnection[Any]) -> None:
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)


def _refuse_a_closed_connection(connection: Any, _record: Any, _proxy: Any) -> None:
    """Looks, without a round trip, whether the server has closed a pooled connection, as it does when it restarts."""
    server = connection.driver_connection.pgconn
    try:
        # The first read may bring the server's farewell, the second the end of the stream after it.
        server.consume_input()
        server.consume_input()
    except psycopg.OperationalError as error:
        raise InvalidatePoolError("the server has closed the connection") from error


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
