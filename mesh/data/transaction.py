"""One attempt at one unit of work: its statements, its events, and what happens once it is committed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.call import find_call
from mesh.clock import Clock
from mesh.data import idempotency, outbox
from mesh.data.idempotency import KeyTaken
from mesh.data.outbox import OutboxEvent
from mesh.errors import MeshError

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Transaction:
    """What `Database.transact` hands to the work. Lives for one attempt; a retry gets a new one."""

    def __init__(self, connection: AsyncConnection, *, clock: Clock) -> None:
        self.connection = connection
        """The connection, for what `execute` does not cover."""
        self.clock = clock
        """The time by which events are stamped."""
        self._events: list[OutboxEvent] = []
        self._touched: set[str] = set()
        self._wakes: set[str] = set()
        self._callbacks: list[Callable[[], None]] = []

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        """Runs a statement; a sequence of parameters runs it once for each, in few round trips."""
        result = await self.connection.execute(statement, parameters)
        assert isinstance(result, CursorResult)  # noqa: S101 - always so for a Core connection; narrows the type only
        return result

    def publish(self, event: Message, *, aggregate_id: str, version: int, time: datetime | None = None) -> None:
        """Publishes an event if this transaction commits, and never otherwise.

        The subject is the message's full name. Events of one aggregate are numbered by `version`, rising by one with
        each; two transactions that publish the same version collide, and the later is Aborted with CONCURRENT_CHANGE.

        Args:
            event: What happened.
            aggregate_id: To what.
            version: Its place among the aggregate's events.
            time: When it happened, where that was written down already; now if None.

        Raises:
            ValueError: The event is too large for the broker, or the version is not positive.
        """
        moment = self.clock() if time is None else time
        self._events.append(outbox.record(event, aggregate_id=aggregate_id, version=version, time=moment))
        self.touch(aggregate_id)

    def touch(self, aggregate_id: str) -> None:
        """Says what this transaction is about: remembered answers that mention it are dropped once it commits.

        What is published, and the event that is handled, are touched without being asked for. A transaction that
        touches nothing may have changed anything, so every remembered answer of the workload goes.
        """
        self._touched.add(aggregate_id)

    def wake(self, key: str) -> None:
        """Wakes, after the commit, whoever watches a key in any process of this workload."""
        self._wakes.add(key)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Calls back once the commit is certain. What the callback raises is logged and changes nothing."""
        self._callbacks.append(callback)

    async def claim(self, resource_id: str | None = None) -> None:
        """Claims the call's idempotency key for this transaction; does nothing where the call has none.

        Args:
            resource_id: What this call is about to make, where its answer comes later than this transaction: a repeat
                after a crash continues with it.

        Raises:
            KeyTaken: Another call has the key. The pipeline answers with what that one answered.
        """
        call = find_call()
        if call is not None and call.key is not None:
            await idempotency.claim(self.connection, call.key, resource_id)

    async def answer(self, answer: Message | MeshError) -> None:
        """Stores the call's answer in this transaction; does nothing where the call has no key.

        Raises:
            KeyTaken: Another call has answered under this key.
            ValueError: The error is not definitive, such as Unavailable: repeating may succeed.
        """
        call = find_call()
        if call is None or call.key is None:
            return
        own = idempotency.as_answer(answer, request_id=call.request_id)
        if await idempotency.store(self.connection, call.key, own) != own:
            raise KeyTaken(call.key.key)

    @property
    def has_events(self) -> bool:
        """Whether anything is to be published."""
        return bool(self._events)

    @property
    def touched(self) -> frozenset[str]:
        """The ids of what it is about; none where that is not known."""
        return frozenset(self._touched)

    @property
    def wakes(self) -> frozenset[str]:
        """The keys to wake after the commit."""
        return frozenset(self._wakes)

    @property
    def callbacks(self) -> Sequence[Callable[[], None]]:
        """What to call after the commit."""
        return tuple(self._callbacks)

    async def flush(self) -> None:
        """Writes the events into the outbox. The database calls it before it commits.

        Raises:
            Aborted: CONCURRENT_CHANGE: somebody else published a version of the same aggregate.
        """
        if self._events:
            await outbox.write(self.connection, self._events)
