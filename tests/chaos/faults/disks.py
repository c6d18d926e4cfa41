"""Disks that are full: a small file system below a data directory, filled up and emptied again."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cli.local.home import Home
from tests.chaos.faults.fault import Fault, Inflict, Prepare
from tests.chaos.faults.waiting import until
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome

BETWEEN: Final = 4
"""Orders that are acknowledged before and after."""

FULL: Final = 40.0
"""Seconds for which a disk stays full, from the first write that fails: longer than NATS may stay unhealthy."""

FULL_WORDS: Final = "no space left on device"
"""How both log that the disk is full, in lower case."""

_BLOCK: Final = bytes(2**20)


def small_disk(room: str, megabytes: int, *, but: str = "") -> Prepare:
    """A small file system in memory below a room of the home.

    Args:
        room: Which, as an attribute of Home.
        megabytes: How large it is.
        but: A room in there that stays on the disk that everything else is on.
    """

    @contextmanager
    def prepare(root: Path) -> Iterator[None]:
        home = Home(root)
        home.create()
        place: Path = getattr(home, room)
        # What is below `but` would be hidden: it is kept by a second name, from before the mount.
        kept = root / "kept"
        if but:
            kept.mkdir(mode=0o700)
        _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode={place.stat().st_mode & 0o777:o}", "tmpfs", str(place))
        try:
            if not but:
                yield
                return
            inside: Path = getattr(home, but)
            inside.mkdir(mode=0o700)
            _mount("--bind", str(kept), str(inside))
            try:
                yield
            finally:
                _unmount(inside)
        finally:
            _unmount(place)

    return prepare


def filled(process: str, room: str) -> Inflict:
    """Fills the disk below a room until the process complains, and for a while after that."""

    async def inflict(house: House, load: Load, outcome: Outcome) -> None:
        await load.until(BETWEEN)
        filler = getattr(house.home, room) / "filler"
        log = house.home.log(process)
        begin = log.stat().st_size

        async def complains() -> bool:
            fill(filler)  # again and again: what the process gives back is taken, too
            return FULL_WORDS in _since(log, begin)

        try:
            await until(complains, 60, f"{process} to notice that its disk is full")
            loop = asyncio.get_running_loop()
            end, before = loop.time() + FULL, load.acknowledged
            while loop.time() < end:
                fill(filler)
                await asyncio.sleep(0.2)  # how long it is full is the fault itself
            outcome.notes.append(f"full for {FULL:.0f} s, {load.acknowledged - before} orders meanwhile")
        finally:
            filler.unlink(missing_ok=True)
        await asyncio.to_thread(house.shop.wait_until_healthy, 120)
        await load.until(BETWEEN)

    return inflict


def fill(filler: Path) -> None:
    """Lets a file grow until there is no byte left."""
    with filler.open("ab", buffering=0) as file, suppress(OSError):  # the last one is what it is for: ENOSPC
        while True:
            if file.write(_BLOCK) < len(_BLOCK):
                os.fsync(file.fileno())


def _since(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read().decode(errors="replace").lower()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _unmount(place: Path) -> None:
    subprocess.run(["umount", str(place)], check=True)


FAULTS: Final = (
    Fault(
        "postgres-disk-full",
        "no space left for PostgreSQL",
        filled("postgres", "data"),
        prepare=small_disk("data", 400, but="nats"),
    ),
    Fault("nats-disk-full", "no space left for NATS", filled("nats", "nats"), prepare=small_disk("nats", 64)),
)
