"""A transaction happens once and as a whole, or not at all, and says which."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from mesh.data import CommitUnknown, Database, Limits, Transaction
from mesh.data.database import FRESH
from mesh.data.failures import DatabaseBusy, DatabaseUnavailable
from mesh.errors import Aborted, NotFound, Unavailable, not_found
from tests.fixtures.servers import Postgres, PostgresServer, until
from tests.mesh.ledger import add, balance, opened, placed, prepare, scalar


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    async with opened(await postgres.prepared("ledger", prepare)) as database:
        yield database


async def test_what_the_work_returns_is_returned_and_its_effect_stays(database: Database) -> None:
    async def work(tx: Transaction) -> str:
        await add(tx, "a", 3)
        return "done"

    assert await database.transact(work) == "done"
    assert await balance(database, "a") == 3


async def test_what_the_work_raises_comes_through_and_nothing_stays(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await add(tx, "a")
        tx.publish(placed(), aggregate_id="a", version=1)
        raise not_found("account", "b")

    with pytest.raises(NotFound):
        await database.transact(work)
    assert await balance(database, "a") == 0
    assert await scalar(database, "SELECT count(*) FROM outbox") == 0


async def test_a_cancelled_caller_does_not_tear_the_transaction(database: Database) -> None:
    begun = asyncio.Event()
    go_on = asyncio.Event()
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await add(tx, "a")
        begun.set()
        await go_on.wait()
        await add(tx, "b")

    caller = asyncio.create_task(database.transact(work))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    await until(lambda: balance(database, "b"))
    assert (await balance(database, "a"), await balance(database, "b"), attempts) == (1, 1, 1)


async def test_draining_waits_for_transactions_whose_callers_are_gone(postgres: Postgres) -> None:
    url = await postgres.prepared("ledger", prepare)
    database = Database(url, workload="test")
    begun = asyncio.Event()

    async def work(tx: Transaction) -> None:
        begun.set()
        await tx.execute(text("SELECT pg_sleep(0.2)"))
        await add(tx, "a")

    caller = asyncio.create_task(database.transact(work))
    await begun.wait()
    caller.cancel()
    await database.drain()
    async with opened(url) as again:
        assert await balance(again, "a") == 1


async def test_a_deadlock_is_tried_again_until_both_are_through(database: Database) -> None:
    both = asyncio.Barrier(2)
    first_attempts: set[str] = set()

    def work(first: str, second: str):  # type: ignore[no-untyped-def]
        async def transfer(tx: Transaction) -> None:
            await add(tx, first)
            if first not in first_attempts:
                first_attempts.add(first)
                await both.wait()
            await add(tx, second)

        return transfer

    await asyncio.gather(database.transact(work("a", "b")), database.transact(work("b", "a")))
    assert (await balance(database, "a"), await balance(database, "b")) == (2, 2)


async def test_serialization_failures_are_tried_five_times_and_then_aborted(database: Database) -> None:
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await add(tx, "a")
        await tx.execute(text("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"))

    with pytest.raises(Aborted) as raised:
        await database.transact(work)
    assert (raised.value.reason, attempts) == ("CONCURRENT_CHANGE", 5)
    assert await balance(database, "a") == 0


async def test_a_swallowed_database_error_is_never_reported_as_a_commit(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await add(tx, "a")
        with pytest.raises(Exception, match="division by zero"):
            await tx.execute(text("SELECT 1 / 0"))

    with pytest.raises(RuntimeError, match="swallowed"):
        await database.transact(work)
    assert await balance(database, "a") == 0


async def test_two_that_publish_one_version_collide_and_one_is_aborted(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await add(tx, "a")
        tx.publish(placed(), aggregate_id="a", version=1)

    results = await asyncio.gather(*(database.transact(work) for _ in range(3)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Aborted", "Aborted", "NoneType"]
    assert await balance(database, "a") == 1


async def test_events_of_a_transaction_stand_in_the_outbox_in_their_order(database: Database) -> None:
    ids = [f"order-{number}" for number in range(2000)]

    async def work(tx: Transaction) -> None:
        for order_id in ids:
            tx.publish(placed(order_id), aggregate_id=order_id, version=1)

    await database.transact(work)
    async with database.reading() as connection:
        rows = await connection.execute(text("SELECT aggregate_id FROM outbox ORDER BY id"))
        assert [row[0] for row in rows] == ids


async def test_callbacks_come_after_the_commit_and_their_errors_change_nothing(database: Database) -> None:
    seen: list[str] = []
    database.on_events(lambda: seen.append("events"))

    def fail() -> None:
        raise ValueError("a bad listener")

    async def work(tx: Transaction) -> None:
        tx.after_commit(fail)
        tx.after_commit(lambda: seen.append("committed"))
        tx.publish(placed(), aggregate_id="a", version=1)
        assert seen == []

    await database.transact(work)
    assert seen == ["events", "committed"]


async def test_a_lock_that_is_held_too_long_aborts(postgres: Postgres) -> None:
    url = await postgres.prepared("ledger", prepare)
    async with opened(url, limits=Limits(lock=timedelta(milliseconds=50))) as database:
        held, release = asyncio.Event(), asyncio.Event()

        async def hold(tx: Transaction) -> None:
            await add(tx, "a")
            held.set()
            await release.wait()

        holder = asyncio.create_task(database.transact(hold))
        await held.wait()
        with pytest.raises(Aborted):
            await database.transact(lambda tx: add(tx, "a"))
        release.set()
        await holder
        assert await balance(database, "a") == 1


async def test_a_full_pool_refuses_instead_of_queueing_for_ever(postgres: Postgres) -> None:
    url = await postgres.prepared("ledger", prepare)
    limits = Limits(pool_size=1, pool_wait=timedelta(milliseconds=50))
    async with opened(url, limits=limits) as database, database.reading():
        with pytest.raises(DatabaseBusy):
            await database.transact(lambda tx: add(tx, "a"))


async def test_a_database_that_all_connections_are_busy_with_counts_as_alive(postgres: Postgres) -> None:
    url = await postgres.prepared("ledger", prepare)
    limits = Limits(pool_size=1, pool_wait=timedelta(milliseconds=50))
    async with opened(url, limits=limits) as database:
        async with database.reading():
            with pytest.raises(DatabaseBusy):
                await database.ping()
        async with database.reading():
            await database.ping()


async def test_a_slow_statement_is_ended(postgres: Postgres) -> None:
    url = await postgres.prepared("ledger", prepare)
    async with opened(url, limits=Limits(statement=timedelta(milliseconds=50))) as database:
        with pytest.raises(Unavailable):
            await database.transact(lambda tx: tx.execute(text("SELECT pg_sleep(10)")))


async def test_connections_that_a_restart_closed_are_not_used(own_postgres: PostgresServer) -> None:
    prepare(own_postgres.url())
    async with opened(own_postgres.url()) as database:
        await asyncio.gather(*(database.transact(lambda tx: add(tx, "a")) for _ in range(5)))
        await asyncio.to_thread(own_postgres.stop)
        await asyncio.to_thread(own_postgres.start)
        # Not even a read, which nothing repeats, meets a connection from before.
        assert await balance(database, "a") == 5
        await asyncio.gather(*(database.transact(lambda tx: add(tx, "a")) for _ in range(5)))
        assert await balance(database, "a") == 10


async def test_a_database_that_is_away_is_told_as_such_and_found_again(own_postgres: PostgresServer) -> None:
    prepare(own_postgres.url())
    async with opened(own_postgres.url()) as database:
        await database.transact(lambda tx: add(tx, "a"))
        await asyncio.to_thread(own_postgres.kill)
        with pytest.raises(DatabaseUnavailable):
            await database.transact(lambda tx: add(tx, "a"))
        await asyncio.sleep(FRESH)
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
        await asyncio.to_thread(own_postgres.start)
        await database.ping()
        assert await balance(database, "a") == 1


async def test_a_connection_lost_in_the_work_is_tried_again(database: Database) -> None:
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await add(tx, "a")
        if attempts == 1:
            await tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await database.transact(work)
    assert (attempts, await balance(database, "a")) == (2, 1)


async def test_a_connection_lost_in_the_commit_is_an_unknown_outcome_and_not_tried_again(database: Database) -> None:
    attempts = 0
    # A deferred constraint is checked within COMMIT: there the server ends the session.
    async with database.reading() as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
            )
        )
        await connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON account DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION die()"
            )
        )

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        await add(tx, "a")

    with pytest.raises(CommitUnknown) as raised:
        await database.transact(work)
    assert raised.value.metadata == {"dependency": "database", "outcome": "unknown"}
    assert attempts == 1


async def test_a_server_that_hangs_is_given_up(postgres: Postgres) -> None:
    url = await postgres.prepared("ledger", prepare)
    async with opened(url, limits=Limits(transaction=timedelta(seconds=0.3))) as database:
        stopped: list[int] = []

        async def work(tx: Transaction) -> None:
            backend = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            os.kill(backend, signal.SIGSTOP)
            stopped.append(backend)
            await add(tx, "a")

        try:
            with pytest.raises(DatabaseUnavailable):
                await database.transact(work)
        finally:
            for backend in stopped:
                os.kill(backend, signal.SIGCONT)
        assert await balance(database, "a") == 0
