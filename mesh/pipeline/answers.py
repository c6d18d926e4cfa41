"""The answers a process remembers: bounded, and dropped as soon as something they tell has changed."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Counter

from mesh.errors import DeadlineExceeded
from mesh.tuning import CacheTuning

Key = tuple[str, bytes]
"""gRPC path and request."""

Read = Callable[[], Awaitable[bytes]]
"""Gets the answer from where it really is."""

_ID: Final = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_OVERHEAD: Final = 500
"""Bytes that an entry takes beside its request and answer, roughly."""


def ids_in(message: bytes) -> frozenset[str]:
    """The ids (UUIDs) that stand in a serialized message, in lower case."""
    return frozenset(found.decode().lower() for found in _ID.findall(message))


@dataclass(slots=True)
class _Entry:
    answer: bytes
    expires: float
    mentions: frozenset[str]
    """Ids in request and answer."""
    open_ended: bool
    """Anything could enter the answer: a list, a search."""

    def is_touched_by(self, ids: Collection[str]) -> bool:
        return self.open_ended or not self.mentions.isdisjoint(ids)


@dataclass(eq=False, slots=True)
class _Reading:
    """A read under way, and what changed since it began: its answer may be from before the change."""

    task: asyncio.Task[bytes] | None = None
    readers: int = 0
    changed: set[str] = field(default_factory=set)
    all_changed: bool = False


class AnswerCache:
    """The answers of one process.

    Args:
        tuning: How much it may hold.
        invalidated: Counts what is dropped because it changed.
        now: The time, in seconds that never run backwards.
    """

    def __init__(self, tuning: CacheTuning, invalidated: Counter, *, now: Callable[[], float] = time.monotonic) -> None:
        self._max_entries = tuning.max_entries
        self._max_bytes = tuning.max_bytes
        self._invalidated = invalidated
        self._now = now
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._mentioned: dict[str, set[Key]] = {}
        self._open_ended: set[Key] = set()
        self._joinable: dict[Key, _Reading] = {}
        self._readings: set[_Reading] = set()
        self.size = 0
        """Bytes it holds, roughly."""

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Key) -> bytes | None:
        """The answer that is remembered, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._now() >= entry.expires:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.answer

    async def read(self, key: Key, read: Read, *, ttl: float, open_ended: bool) -> bytes:
        """Reads an answer and remembers it. Who asks for the same thing meanwhile waits for the same read.

        The read is a task of its own: it goes on when the one who began it leaves, and ends when nobody waits for it.

        Args:
            key: What is asked for.
            read: Gets the answer.
            ttl: How old the answer may become, in seconds, from the beginning of the read.
            open_ended: Anything that changes could enter this answer.

        Raises:
            MeshError: As the read. A deadline that was over for whoever began the read fails nobody else.
        """
        while True:
            reading = self._joinable.get(key)
            began = reading is None
            if reading is None:
                reading = self._joinable[key] = _Reading()
                reading.task = asyncio.create_task(
                    self._fetch(key, reading, read, ttl=ttl, open_ended=open_ended), name="cached read"
                )
            assert reading.task is not None  # noqa: S101 - set before anybody can see the reading
            reading.readers += 1
            try:
                return await asyncio.shield(reading.task)
            except DeadlineExceeded:
                if began:
                    raise
            finally:
                reading.readers -= 1
                if not reading.readers and not reading.task.done():
                    self._leave(key, reading)
                    reading.task.cancel()

    def invalidate(self, ids: frozenset[str]) -> None:
        """Drops what mentions one of these ids, and every list. Without ids nobody knows what changed: all goes.

        A read that is under way began before the change: nobody joins it any more, and its answer is not remembered if
        it tells of what changed.
        """
        self._joinable.clear()
        known = bool(ids) and all(_ID.fullmatch(each.encode()) for each in ids)
        ids = frozenset(each.lower() for each in ids)
        for reading in self._readings:
            reading.changed |= ids
            reading.all_changed |= not known
        touched = (
            self._open_ended.union(*(self._mentioned.get(each, ()) for each in ids)) if known else set(self._entries)
        )
        for key in touched:
            self._drop(key)
        self._invalidated.inc(len(touched))

    async def _fetch(self, key: Key, reading: _Reading, read: Read, *, ttl: float, open_ended: bool) -> bytes:
        expires = self._now() + ttl
        self._readings.add(reading)
        try:
            answer = await read()
        finally:
            self._readings.discard(reading)
            self._leave(key, reading)
        named = ids_in(key[1])
        entry = _Entry(answer, expires, named | ids_in(answer), open_ended or not named)
        stale = reading.all_changed or (bool(reading.changed) and entry.is_touched_by(reading.changed))
        if not stale and self._now() < expires:
            self._store(key, entry)
        return answer

    def _leave(self, key: Key, reading: _Reading) -> None:
        if self._joinable.get(key) is reading:
            del self._joinable[key]

    def _store(self, key: Key, entry: _Entry) -> None:
        if key in self._entries:
            self._drop(key)
        self._entries[key] = entry
        self.size += _size(key, entry)
        for each in entry.mentions:
            self._mentioned.setdefault(each, set()).add(key)
        if entry.open_ended:
            self._open_ended.add(key)
        while len(self._entries) > self._max_entries or self.size > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key)
        self.size -= _size(key, entry)
        self._open_ended.discard(key)
        for each in entry.mentions:
            keys = self._mentioned[each]
            keys.discard(key)
            if not keys:
                del self._mentioned[each]


def _size(key: Key, entry: _Entry) -> int:
    return len(key[1]) + len(entry.answer) + _OVERHEAD + 200 * len(entry.mentions)
