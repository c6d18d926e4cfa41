"""Processes that are killed or stand still."""

import asyncio
import os
import signal
from typing import Final

from tests.chaos.faults.fault import Fault, Inflict
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome

KILLS: Final = 5
BRIEF_KILLS: Final = 2
"""How often a process is killed, each time when it has been of use again."""

BETWEEN: Final = 4
"""Orders that are acknowledged between two kills."""


def killed(process: str) -> Inflict:
    """Kills a process again and again, each time after it has served some customers."""

    async def inflict(house: House, load: Load, outcome: Outcome) -> None:
        kills = BRIEF_KILLS if house.brief else KILLS
        for _ in range(kills):
            await asyncio.to_thread(house.shop.wait_until_healthy, 120)
            await load.until(BETWEEN)
            await asyncio.to_thread(house.shop.kill, process)
        outcome.notes.append(f"{kills} kills")

    return inflict


def frozen(process: str, seconds: float) -> Inflict:
    """Stops a process without ending it (SIGSTOP): its connections stay, and say nothing."""

    async def inflict(house: House, load: Load, outcome: Outcome) -> None:
        await load.until(BETWEEN)
        pid = int((await asyncio.to_thread(house.shop.status))[process]["pid"])
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)  # how long it stands still is the fault itself
        finally:
            os.kill(pid, signal.SIGCONT)
        outcome.notes.append(f"{seconds:.0f} s")
        await load.until(BETWEEN)

    return inflict


def _service(name: str, *, short: bool = False) -> Fault:
    return Fault(f"{name}-killed", f"kill -9 of {name} again and again under load", killed(name), short=short)


FAULTS: Final = (
    *(_service(name) for name in ("user", "product", "inventory", "notification", "analytics")),
    *(_service(name, short=True) for name in ("order", "payment")),
    Fault("postgres-killed", "kill -9 of PostgreSQL again and again under load", killed("postgres"), short=True),
    Fault("nats-killed", "kill -9 of NATS again and again under load", killed("nats"), short=True),
    Fault("edge-killed", "kill -9 of Envoy again and again under load", killed("edge"), short=True),
    Fault("payment-frozen", "SIGSTOP of payment", frozen("payment", 20)),
    Fault("order-frozen", "SIGSTOP of order: its leases run out, and it comes back", frozen("order", 20)),
    Fault("postgres-frozen", "SIGSTOP of PostgreSQL", frozen("postgres", 20)),
)
