"""Wakes: who watches a key hears at once that it changed, in whichever process of the workload the change was made.

A wake carries no data and may be lost; a watcher reads the database when it hears one, and now and then without. By the
same way all processes hear what each transaction changed, so that none goes on answering from memory.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from mesh.bus.subjects import wakes_of
from mesh.ids import uuid7

KEYS_A_MESSAGE: Final = 500
"""So that a wake of a great many keys stays far below the broker's message size."""

Changed = Callable[[frozenset[str]], None]
"""Hears the ids of what changed; none where that is not known."""


class Announcer(Protocol):
    """What of the broker is needed here; see mesh.bus.port.Bus."""

    async def notify(self, subject: str, payload: bytes) -> None:
        """Tells all who listen now."""


class Watcher:
    """Waits for its keys. Wakes that come between two waits are not lost: the next wait returns at once."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Waits for a wake, at most so many seconds; tells whether one came."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def rouse(self) -> None:
        """Ends the present wait, or else the next."""
        self._woken.set()


class Wakes:
    """The watchers of one process, and the way to those of the workload's other processes.

    Args:
        workload: Whose processes hear each other.
        announcer: The broker; without one only this process hears its wakes.
    """

    def __init__(self, workload: str, announcer: Announcer | None = None) -> None:
        self.subject = wakes_of(workload)
        """Under which the broker tells the other processes; `start` listens to it."""
        self._announcer = announcer
        self._process = uuid7()
        self._watchers: dict[str, set[Watcher]] = {}
        self._on_change: list[Changed] = []
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the process is stopping, so that watches should end."""
        return self._closed

    @contextmanager
    def subscribe(self, keys: Collection[str]) -> Iterator[Watcher]:
        """A watcher of keys, for the time of the `with` block."""
        watcher = Watcher()
        if self._closed:
            watcher.rouse()
        for key in keys:
            self._watchers.setdefault(key, set()).add(watcher)
        try:
            yield watcher
        finally:
            for key in keys:
                present = self._watchers.get(key, set())
                present.discard(watcher)
                if not present:
                    self._watchers.pop(key, None)

    async def wake(self, keys: Collection[str]) -> None:
        """Wakes the watchers of keys in all processes; while the broker is away, in this one only."""
        self._rouse(keys)
        if self._announcer is None:
            return
        ordered = sorted(keys)
        for start in range(0, len(ordered), KEYS_A_MESSAGE):
            message = {"from": self._process, "keys": ordered[start : start + KEYS_A_MESSAGE]}
            await self._announcer.notify(self.subject, json.dumps(message).encode())

    def on_change(self, callback: Changed) -> None:
        """Calls back with what changed, whichever process of the workload changed it."""
        self._on_change.append(callback)

    async def changed(self, ids: frozenset[str]) -> None:
        """Tells all processes what changed, this one before it returns; while the broker is away, this one only.

        Where nobody here asks for it, nobody in the workload's other processes does: they are built alike.
        """
        if not self._on_change:
            return
        self._tell(ids)
        if self._announcer is not None:
            some = sorted(ids) if len(ids) <= KEYS_A_MESSAGE else []
            message = {"from": self._process, "keys": [], "changed": some}
            await self._announcer.notify(self.subject, json.dumps(message).encode())

    async def heard(self, payload: bytes) -> None:
        """Takes what the broker told; our own has been heard already."""
        message = json.loads(payload)
        if message["from"] == self._process:
            return
        self._rouse(message["keys"])
        if "changed" in message:
            self._tell(frozenset(message["changed"]))

    def close(self) -> None:
        """Wakes everyone: the process is stopping."""
        self._closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.rouse()

    def _tell(self, ids: frozenset[str]) -> None:
        for callback in self._on_change:
            callback(ids)

    def _rouse(self, keys: Collection[str]) -> None:
        for key in keys:
            for watcher in self._watchers.get(key, ()):
                watcher.rouse()
