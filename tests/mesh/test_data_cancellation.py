"""A call that is cancelled leaves nothing behind, at whatever moment that happens."""

import asyncio
import gc
from contextlib import suppress

import pytest
from psycopg import waiting
from sqlalchemy import text

from mesh.data import Database
from tests.fixtures.servers import Postgres, until
from tests.mesh.ledger import opened, prepare


def checked_out(database: Database) -> int:
    return int(database.engine.pool.checkedout())  # type: ignore[attr-defined]  # every pool that keeps connections has it


async def test_a_read_that_is_cancelled_at_any_moment_gives_its_connection_back(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", 0)  # the driver gives way at each step, as it does under load
    async with opened(await postgres.prepared("ledger", prepare)) as database:

        async def read() -> None:
            async with database.reading() as connection:
                await connection.execute(text("SELECT 1"))

        for steps in range(120):
            await read()  # so that there is a connection in the pool, which is given out at once
            task = asyncio.create_task(read())
            for _ in range(steps // 3):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await until(lambda: checked_out(database) == 0)
        # What was forgotten complains when it is found, and pytest fails for it.
        gc.collect()
        await read()
