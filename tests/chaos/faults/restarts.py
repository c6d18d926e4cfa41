"""Processes that are stopped as an upgrade does it: politely, one after the other, and nobody notices."""

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Any, Final

from cli.local.control import ask
from cli.local.home import Home
from tests.chaos.faults.fault import Fault
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome
from tests.journeys.running import wait_for

SERVICES: Final = ("user", "product", "inventory", "order", "payment", "notification", "analytics")

BETWEEN: Final = 4
"""Orders that are acknowledged before and after."""

RESTART_SECONDS: Final = 60.0
"""How long a process may take to end and to be healthy again."""


async def rolling(house: House, load: Load, outcome: Outcome) -> None:
    """Stops each process of each service in turn, and goes on when it is back; no customer needs a second try."""
    status = await asyncio.to_thread(_status, house)
    processes = [name for name in status if name.partition(".")[0] in SERVICES]
    await load.until(BETWEEN)
    before = len(load.repeated)
    for process in processes:
        await asyncio.to_thread(_restart, house, process)
    await load.until(BETWEEN)
    outcome.notes.append(f"{len(processes)} processes restarted, {len(load.repeated) - before} calls tried again")
    outcome.wrong += [f"not answered at the first try: {each}" for each in load.repeated[before:]]


def _restart(house: House, process: str) -> None:
    was = _status(house)[process]["pid"]
    os.kill(int(was), signal.SIGTERM)

    def is_back() -> bool:
        now = _status(house)[process]
        return now["pid"] not in {None, was} and now["state"] == "healthy"

    wait_for(is_back, RESTART_SECONDS, f"new {process}")


def _status(house: House) -> Mapping[str, Mapping[str, Any]]:
    """Every process by name; from the supervisor itself, for this is asked over and over."""
    shown = ask(Home(house.shop.home).control_socket, {"request": "status"})
    return {each["process"]: each for each in shown["processes"]}


FAULTS: Final = (
    Fault(
        "rolling-restart",
        "each of two processes of every service stopped in turn (SIGTERM) under load: no call fails",
        rolling,
        settings={
            "ZOCO_REPLICAS": ",".join(f"{service}=2" for service in SERVICES),
            # As it is out of the box: how long the others have to notice is what is tried here.
            "ZOCO_DRAIN_SECONDS": "1",
        },
    ),
)
