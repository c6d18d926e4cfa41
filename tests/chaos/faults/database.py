"""A database that is slow, and one that is started anew."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from tests.chaos.faults.fault import Fault
from tests.chaos.faults.waiting import until
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome

BETWEEN: Final = 4
"""Orders that are acknowledged between two faults."""

LOCKED: Final[Sequence[tuple[str, str]]] = (("payment", "payment"), ("order", "saga"))
"""Services, and the table of each that nobody can read for a while."""

LOCKED_SECONDS: Final = 10.0
"""Longer than `lock_timeout` of the services' roles."""

RESTARTS: Final = 3

_WAITING: Final = "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted"


async def lock_tables(house: House, load: Load, outcome: Outcome) -> None:
    """Locks one table after the other against everybody, as a migration that nobody thought through does."""
    for service, table in LOCKED:
        await load.until(BETWEEN)
        async with await psycopg.AsyncConnection.connect(house.database(service)) as connection:
            await connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)))
            outcome.notes.append(f"{await _hold(connection, table)} waited for {table}")
    await load.until(BETWEEN)


async def _hold(connection: psycopg.AsyncConnection[Any], table: str) -> int:
    """Keeps what is locked for a while. Returns how many waited for it at once."""
    loop = asyncio.get_running_loop()
    end, most = loop.time() + LOCKED_SECONDS, 0
    while loop.time() < end:
        row = await (await connection.execute(_WAITING, [table])).fetchone()
        most = max(most, int(row[0]) if row else 0)
        await asyncio.sleep(0.2)
    if not most:
        raise TimeoutError(f"nobody waited for {table}, so nothing was broken")
    return most


async def restart_postgres(house: House, load: Load, outcome: Outcome) -> None:
    """Ends PostgreSQL as an administrator does (`pg_ctl restart -m fast`): sessions are told, and all is written."""
    longest = 0.0
    for _ in range(RESTARTS):
        await load.until(BETWEEN)
        before = await _postgres(house)
        os.kill(int(before["pid"]), signal.SIGINT)

        async def is_back(pid: object = before["pid"]) -> bool:
            now = await _postgres(house)
            return bool(now["state"] == "healthy" and now["pid"] not in {None, pid})

        longest = max(longest, await until(is_back, 120, "PostgreSQL to be back"))
    outcome.notes.append(f"{RESTARTS} restarts, away for {longest:.1f} s at most")
    await load.until(BETWEEN)


async def _postgres(house: House) -> Mapping[str, Any]:
    return (await asyncio.to_thread(house.shop.status))["postgres"]


FAULTS: Final = (
    Fault("table-locked", "tables that are locked for longer than anybody waits", lock_tables),
    Fault("postgres-restarted", f"PostgreSQL restarted, {RESTARTS} times under load", restart_postgres),
)
