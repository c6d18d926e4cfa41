"""Alarms of calls: one timer rings them all, each at its own time, and nobody who has left."""

import asyncio

from mesh.pipeline.alarms import Alarms


async def _wait(alarms: Alarms, seconds: float, name: str, rang: list[str]) -> None:
    """Waits for ever, unless its alarm ends it."""
    alarm = alarms.set(asyncio.get_running_loop().time() + seconds)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not alarm.rang or alarm.take_back():
            raise
        rang.append(name)
    finally:
        alarms.forget(alarm)


async def test_alarms_ring_by_their_time_not_by_when_they_were_set() -> None:
    alarms, rang = Alarms(), list[str]()
    async with asyncio.timeout(10), asyncio.TaskGroup() as calls:
        for seconds, name in ((0.3, "last"), (0.05, "first"), (0.15, "second")):
            calls.create_task(_wait(alarms, seconds, name, rang))
    assert rang == ["first", "second", "last"]


async def test_who_left_before_is_not_rung_and_holds_up_nobody() -> None:
    alarms, rang = Alarms(), list[str]()
    leaver = asyncio.create_task(_wait(alarms, 0.05, "leaver", rang))
    stayer = asyncio.create_task(_wait(alarms, 0.1, "stayer", rang))
    await asyncio.sleep(0)
    leaver.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait({leaver, stayer})
    assert leaver.cancelled()
    assert rang == ["stayer"]
