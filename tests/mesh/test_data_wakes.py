"""Whoever watches a key hears of it, in each process of the workload, and only there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.bus.nats import NatsBus
from mesh.data import Transaction
from mesh.data.wakes import Wakes
from tests.fixtures.brokers import account_url
from tests.fixtures.servers import NatsServer, Postgres, until
from tests.mesh.ledger import opened, prepare


@asynccontextmanager
async def a_process(url: str, workload: str = "order") -> AsyncIterator[Wakes]:
    bus = NatsBus(account_url(url, workload), name=workload)
    await bus.start()
    wakes = Wakes(workload, bus)
    await bus.listen(wakes.subject, wakes.heard)
    await until(lambda: bus.connected)
    yield wakes
    await bus.close()


async def test_a_watcher_wakes_for_its_keys_only() -> None:
    wakes = Wakes("order")
    with wakes.subscribe(["a", "b"]) as watcher:
        await wakes.wake(["c"])
        assert not await watcher.wait(0.01)
        await wakes.wake(["b"])
        assert await watcher.wait(1)
        assert not await watcher.wait(0.01)


async def test_a_wake_between_two_waits_is_not_lost() -> None:
    wakes = Wakes("order")
    with wakes.subscribe(["a"]) as watcher:
        await wakes.wake(["a"])
        assert await watcher.wait(1)


async def test_who_has_left_leaves_nothing_behind() -> None:
    wakes = Wakes("order")
    with wakes.subscribe(["a"]):
        pass
    assert wakes._watchers == {}


async def test_a_stopping_process_wakes_everyone() -> None:
    wakes = Wakes("order")
    with wakes.subscribe(["a"]) as watcher:
        waiting = asyncio.create_task(watcher.wait(10))
        await asyncio.sleep(0)
        wakes.close()
        assert await waiting
        assert wakes.is_closed


async def test_a_commit_wakes_watchers_in_all_processes_of_the_workload(postgres: Postgres, nats: str) -> None:
    url = await postgres.prepared("ledger", prepare)
    async with a_process(nats) as here, a_process(nats) as there, a_process(nats, "payment") as elsewhere:
        with here.subscribe(["a"]) as near, there.subscribe(["a"]) as far, elsewhere.subscribe(["a"]) as foreign:
            async with opened(url, waker=here) as database:

                async def work(tx: Transaction) -> None:
                    tx.wake("a")
                    assert not await near.wait(0.01)

                await database.transact(work)
            assert await near.wait(5)
            assert await far.wait(5)
            assert not await foreign.wait(0.05)


async def test_a_great_many_keys_are_told_in_several_messages(nats: str) -> None:
    async with a_process(nats) as here, a_process(nats) as there:
        keys = [f"key-{number}" for number in range(1200)]
        with there.subscribe([keys[-1]]) as watcher:
            await here.wake(keys)
            assert await watcher.wait(5)


async def test_while_the_broker_is_away_the_own_process_still_hears(own_nats: NatsServer) -> None:
    async with a_process(own_nats.url) as wakes:
        own_nats.stop()
        with wakes.subscribe(["a"]) as watcher:
            await wakes.wake(["a"])
            assert await watcher.wait(1)
