"""The work of `zoco events`, on the databases of the running services."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol, cast

import psycopg

from cli.failures import Failure
from mesh.bus import Received
from mesh.bus.contract import EventContract
from mesh.bus.history import told_by
from mesh.bus.relay import Relay
from mesh.data import Database, dead_letters
from mesh.data.connections import Limits
from mesh.data.dead_letters import DeadLetter
from mesh.data.failures import DatabaseUnavailable
from mesh.parts import part_of

APPLICATION = "events"
"""The name by which the server shows these connections."""


class Rebuilding(Protocol):
    """What a service's `rebuilding.py` brings."""

    async def rebuild(self, database: Database, history: AsyncIterable[Received[Any]]) -> str:
        """Makes what is read anew; returns what was done, in words."""


@dataclass(frozen=True)
class Letter:
    """A dead letter and where it lies."""

    service: str
    letter: DeadLetter

    def as_json(self) -> dict[str, object]:
        """As programs read it."""
        return {
            "service": self.service,
            "eventId": self.letter.event_id,
            "subject": self.letter.subject,
            "reason": self.letter.reason,
            "tries": self.letter.tries,
            "firstFailed": self.letter.first_failed_at.isoformat(),
            "dead": self.letter.dead_at.isoformat(),
        }


def chosen(databases: Mapping[str, str], service: str | None) -> Mapping[str, str]:
    """Return the databases that are meant: of all services, or of the one that is named.

    Raises:
        Failure: there is no such service.
    """
    if service is None:
        return databases
    if service not in databases:
        raise Failure(f"{service} is no service with a database; those are {', '.join(databases)}.")
    return {service: databases[service]}


async def dead(databases: Mapping[str, str]) -> list[Letter]:
    """Return the dead letters of services, the oldest of each first."""

    async def of(service: str, url: str) -> list[Letter]:
        async with _opened(service, url) as database, database.reading() as connection:
            return [Letter(service, letter) for letter in await dead_letters.dead(connection)]

    return [letter for letters in await _each(databases, of) for letter in letters]


async def retry(databases: Mapping[str, str], event_id: str | None) -> list[tuple[str, str]]:
    """Ask for dead letters to be tried once more: one, or all where none is named; return service and id of each.

    Raises:
        Failure: there is no such dead letter.
    """

    async def of(service: str, url: str) -> list[tuple[str, str]]:
        async with _opened(service, url) as database:
            ids = None if event_id is None else [event_id]
            return [(service, each) for each in await database.transact(partial(_ask_again, ids=ids))]

    asked = [each for found in await _each(databases, of) for each in found]
    if event_id is not None and not asked:
        raise Failure(f"There is no dead letter {event_id}; `zoco events dead` lists them.")
    return asked


async def outcome(
    databases: Mapping[str, str], asked: Sequence[tuple[str, str]], *, seconds: float
) -> tuple[list[Letter], list[Letter]]:
    """Wait until the services have tried what was asked for; return what is dead again, and what nobody has tried."""
    end = asyncio.get_running_loop().time() + seconds
    concerned = {service: databases[service] for service, _ in asked}
    while True:
        left = [each for each in await dead(concerned) if (each.service, each.letter.event_id) in set(asked)]
        waiting = [each for each in left if not each.letter.tries]
        if not waiting or asyncio.get_running_loop().time() > end:
            return [each for each in left if each.letter.tries], waiting
        await asyncio.sleep(0.2)


async def republish(databases: Mapping[str, str], since: datetime) -> dict[str, int]:
    """Mark the events of services as not published since a moment; return how many of each go out again."""

    async def of(service: str, url: str) -> int:
        try:
            connection: psycopg.AsyncConnection[tuple[Any, ...]] = await psycopg.AsyncConnection.connect(
                url, autocommit=True, connect_timeout=5, application_name=APPLICATION
            )
            async with connection:
                return await Relay.republish(connection, since)
        except psycopg.Error as error:
            raise _away(service, error) from None

    return dict(zip(databases, await _each(databases, of), strict=True))


async def rebuild(databases: Mapping[str, str], service: str, contract: EventContract) -> str:
    """Make what a service shows anew, from history; return what was done, in words.

    Raises:
        Failure: there is no such service, or it has nothing to be made anew.
    """
    url = chosen(databases, service)[service]
    part = part_of(service, "rebuilding")
    if part is None:
        others = [name for name in databases if part_of(name, "rebuilding") is not None]
        raise Failure(f"{service} has nothing that could be made anew from events; {' and '.join(others)} have.")
    own = contract.workloads[service]
    # Whoever runs the shop may read every outbox; the services may not, and need not.
    tellers = {
        area: databases[name] for name, each in contract.workloads.items() for area in each.areas if name in databases
    }
    try:
        async with _opened(service, url) as database:
            return await cast("Rebuilding", part).rebuild(database, told_by(tellers, own.consumes))
    except psycopg.Error as error:
        raise _away(service, error) from None


async def _ask_again(tx: Any, *, ids: Sequence[str] | None) -> Sequence[str]:
    return await dead_letters.ask_again(tx, ids)


async def _each(databases: Mapping[str, str], of: Any) -> list[Any]:
    return list(await asyncio.gather(*(of(service, url) for service, url in databases.items())))


@asynccontextmanager
async def _opened(service: str, url: str) -> AsyncIterator[Database]:
    database = Database(url, workload=APPLICATION, limits=Limits(pool_size=2))
    try:
        yield database
    except DatabaseUnavailable as error:
        raise _away(service, error) from None
    finally:
        await database.drain()


def _away(service: str, error: Exception) -> Failure:
    return Failure(f"The database of {service} cannot be used: {' '.join(str(error).split())}.")
