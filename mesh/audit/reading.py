"""Reads one service's database as it is at one moment, without being able to change it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from mesh.audit import exchange, sessions
from mesh.audit.facts import Connection, Facts, Scope
from mesh.audit.loading import examination_of
from mesh.data.connections import DEAD_PEER

APPLICATION: Final = "audit"
"""The name by which the server shows the connections of the audit, which does not count them."""

_SESSION: Final = {
    # Longer than a service may take: a large table is read in one statement, and folded while it comes.
    "statement_timeout": 600_000,
    "idle_in_transaction_session_timeout": 0,
    "default_transaction_isolation": r"repeatable\ read",
    "default_transaction_read_only": "on",
    "jit": "off",
    "timezone": "UTC",
}


CONNECT_SECONDS: Final = 15
"""How long a busy machine may take to give a connection."""


class CannotLook(Exception):
    """A database is not there, or does not have the tables that this code reads."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What keeps a service from being at rest."""

    outbox: int
    """Events that are not published."""
    retried: int
    """Events that failed and are tried again."""
    own: int
    """What else it has to do."""

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.outbox + self.retried + self.own


async def read(databases: Mapping[str, str], scopes: Mapping[str, Scope]) -> Mapping[str, Facts]:
    """What the services have to say, by name; each database is read as it is at one moment.

    Args:
        databases: Service -> URL.
        scopes: Service -> what is looked at there.

    Raises:
        CannotLook: One of them cannot be read.
    """
    async with AsyncExitStack() as stack:
        # All of nearly the same moment, before the first is looked at, which may take long.
        opened = {
            service: await stack.enter_async_context(snapshot(service, url)) for service, url in databases.items()
        }
        return {service: await _read(service, connection, scopes[service]) for service, connection in opened.items()}


async def unfinished(databases: Mapping[str, str]) -> Mapping[str, Unfinished]:
    """What keeps each service from being at rest. Raises as `read`."""
    found = await asyncio.gather(*(_unfinished(service, url) for service, url in databases.items()))
    return dict(zip(databases, found, strict=True))


async def _read(service: str, connection: Connection, scope: Scope) -> Facts:
    own = examination_of(service)
    events = await exchange.examine(connection, service, scope)
    rest = await own.examine(connection, scope) if own is not None else Facts()
    seen = await sessions.examine(connection, service, scope)
    return Facts(
        findings=(*events.findings, *rest.findings, *seen),
        books=rest.books,
        dead_letters=events.dead_letters,
        events=events.events,
    )


async def _unfinished(service: str, url: str) -> Unfinished:
    own = examination_of(service)
    async with snapshot(service, url) as connection:
        outbox, retried = await exchange.backlog(connection)
        return Unfinished(outbox, retried, await own.under_way(connection) if own is not None else 0)


@asynccontextmanager
async def snapshot(service: str, url: str) -> AsyncIterator[Connection]:
    """A transaction that reads one moment, and cannot write.

    Raises:
        CannotLook: The database cannot be read; the text says which and why.
    """
    try:
        connection: psycopg.AsyncConnection[tuple[Any, ...]] = await psycopg.AsyncConnection.connect(
            url,
            connect_timeout=CONNECT_SECONDS,
            application_name=APPLICATION,
            options=" ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
            **DEAD_PEER,
        )
        async with connection:
            await connection.execute("SELECT")  # the moment is that of the first statement
            yield connection
            await connection.rollback()
    except psycopg.Error as error:
        raise CannotLook(f"the database of {service} cannot be read: {' '.join(str(error).split())}") from error
