"""One service's database: units of work that are never torn, and single reads."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Protocol, TypeVar, overload

import structlog
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from google.rpc import status_pb2
from psycopg.pq import TransactionStatus
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mesh.call import current_call, find_call
from mesh.clock import Clock, utc_now
from mesh.crashpoints import crashpoint
from mesh.data import idempotency
from mesh.data.connections import Limits, cut_after, driver_connection, make_engine, opened
from mesh.data.failures import RETRY_LATER, DatabaseUnavailable, Failure, classify, visible
from mesh.data.transaction import Transaction
from mesh.errors import MeshError, from_status

T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)
Work = Callable[[Transaction], Awaitable[T]]

ATTEMPTS: Final = 5
"""How often a unit of work is tried when it collides with others or loses its connection before the commit."""

FRESH: Final = 1.0
"""Seconds for which an answer of the database proves that it is there."""

FIRST_PAUSE: Final = 0.01
"""Seconds, at most, before the second attempt; doubles with each."""


class Waker(Protocol):
    """Tells those who watch a key, in all processes of this workload, that it changed."""

    async def wake(self, keys: frozenset[str]) -> None:
        """Wakes the watchers of keys. Never raises: a lost wake only makes a watcher look later."""

    async def changed(self, ids: frozenset[str]) -> None:
        """Tells what was changed; without ids, that something was. Never raises."""


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost while the commit was under way: the effect may have happened or not.

    A repeat with the same idempotency key finds out; nothing else may assume either.
    """


class Database:
    """A service's database.

    Args:
        url: `postgresql://role:password@host:port/database`.
        workload: Name by which the server shows these connections.
        limits: Pool size and timeouts.
        waker: Who is told of the keys that transactions wake, and of what they changed.
        clock: What events are stamped with.
    """

    def __init__(
        self,
        url: str,
        *,
        workload: str,
        limits: Limits | None = None,
        waker: Waker | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.limits = limits or Limits()
        self.engine: AsyncEngine = make_engine(url, application=workload, limits=self.limits)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._waker = waker
        self._clock = clock
        self._workload = workload
        self._log = structlog.get_logger("mesh.data").bind(workload=workload)
        self._last_success = float("-inf")
        self._running: set[asyncio.Task[Any]] = set()
        self._on_events: list[Callable[[], None]] = []

    async def transact(self, work: Work[T], *, keyed: bool = False, named: str = "") -> T:
        """Runs a unit of work in one READ COMMITTED transaction and returns what it returns.

        The transaction runs in a task of its own: if the caller is cancelled, it still commits or rolls back whole.
        What loses against another transaction (40001, 40P01) or loses its connection before the commit is tried again,
        so the work must be repeatable: no RPC, nothing kept outside of the transaction.

        Args:
            work: Gets the transaction of the present attempt.
            keyed: Claim the call's idempotency key before the work, and store what it returns as the call's answer.
            named: What the unit is called; with a name it has crash points before and after its commit.

        Raises:
            CommitUnknown: The connection was lost during the commit.
            Unavailable: The database is not reachable or too slow; nothing happened.
            ResourceExhausted: No connection was free in time; nothing happened.
            Aborted: CONCURRENT_CHANGE: it lost against others too often; nothing happened.
            KeyTaken: Another call has the idempotency key; nothing happened.
        """
        task = asyncio.create_task(
            self._transact(_answering(work) if keyed else work, named), name=f"transaction {named}".rstrip()
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                task.add_done_callback(self._report_abandoned)
            raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for single statements, each on its own (AUTOCOMMIT).

        Raises:
            Unavailable: The database is not reachable or too slow.
            ResourceExhausted: No connection was free in time.
        """
        with _visible_errors():
            async with opened(self._autocommit, self._spawn) as connection:
                with cut_after(await driver_connection(connection), self.limits.transaction):
                    yield connection
                self._last_success = asyncio.get_running_loop().time()

    async def ping(self) -> None:
        """Asks the database for a sign of life, unless it gave one within the last second.

        A process under load uses all of its connections; that its database answers is then known without another one.

        Raises:
            Unavailable: It gives none.
            ResourceExhausted: No connection was free in time, and none has been of use lately.
        """
        if asyncio.get_running_loop().time() - self._last_success < FRESH:
            return
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    @overload
    async def answer_once(self, answer: Answer) -> Answer: ...
    @overload
    async def answer_once(self, answer: MeshError) -> Message: ...
    async def answer_once(self, answer: Message | MeshError) -> Message:
        """Stores the call's answer in a transaction of its own; the first one stored wins and is returned.

        For answers that come later than the transaction that claimed the key. An error that may be gone at the next try
        is not stored. Without a key on the call the answer is given back as it is.

        Raises:
            MeshError: The answer that stands is an error.
        """
        call = find_call()
        if (
            call is None
            or call.key is None
            or (isinstance(answer, MeshError) and not idempotency.is_definitive(answer))
        ):
            if isinstance(answer, MeshError):
                raise answer
            return answer
        key, own = call.key, idempotency.as_answer(answer, request_id=call.request_id)

        async def store(tx: Transaction) -> idempotency.StoredAnswer:
            return await idempotency.store(tx.connection, key, own)

        first = await self.transact(store, named="answer")
        if first.is_error:
            if isinstance(answer, MeshError) and first == own:
                raise answer
            raise from_status(status_pb2.Status.FromString(first.response))
        return answer if isinstance(answer, Message) and first == own else _parse_response(first.response)

    def on_events(self, callback: Callable[[], None]) -> None:
        """Calls back after each commit that published events."""
        self._on_events.append(callback)

    async def drain(self) -> None:
        """Waits for the transactions under way, then closes all connections. None lasts longer than its limit."""
        while self._running:
            await asyncio.wait(self._running)
        await self.engine.dispose()

    def _spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that `drain` waits for."""
        task = asyncio.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _transact(self, work: Work[T], named: str) -> T:
        give_up = asyncio.get_running_loop().time() + self.limits.transaction.total_seconds()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                result, transaction = await self._attempt(work, named)
            except CommitUnknown:
                self._log.exception("commit unknown")
                if self._waker is not None:
                    await self._waker.changed(frozenset())
                raise
            except Exception as error:
                failure = classify(error)
                in_time = asyncio.get_running_loop().time() < give_up
                if failure in (Failure.CONFLICT, Failure.LOST) and attempt < ATTEMPTS and in_time:
                    self._log.info("transaction repeated", failure=failure.name, attempt=attempt)
                    await asyncio.sleep(random.uniform(0, FIRST_PAUSE * 2**attempt))  # noqa: S311 - jitter, no secret
                    continue
                seen = visible(failure) if failure else None
                if seen is None:
                    raise
                raise seen from error
            self._last_success = asyncio.get_running_loop().time()
            await self._after_commit(transaction)
            return result
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(self, work: Work[T], named: str) -> tuple[T, Transaction]:
        async with self.engine.connect() as connection:
            driver = await driver_connection(connection)
            with cut_after(driver, self.limits.transaction):
                transaction = Transaction(connection, clock=self._clock)
                result = await work(transaction)
                await transaction.flush()
                if driver.info.transaction_status is TransactionStatus.INERROR:
                    # PostgreSQL answers the COMMIT of a failed transaction with a rollback and no error.
                    raise RuntimeError("the work swallowed a database error; its transaction cannot commit")
                self._crashpoint(named, "before_commit")
                try:
                    await connection.commit()
                except Exception as error:
                    if classify(error) is Failure.LOST:
                        raise _commit_unknown() from error
                    raise
                self._crashpoint(named, "after_commit")
            return result, transaction

    def _crashpoint(self, named: str, how_far: str) -> None:
        if named:
            crashpoint(f"{self._workload}.{named}.{how_far}")

    async def _after_commit(self, transaction: Transaction) -> None:
        if self._waker is not None:
            await self._waker.changed(transaction.touched)
        if transaction.has_events:
            self._call(self._on_events)
        self._call(transaction.callbacks)
        if transaction.wakes and self._waker is not None:
            await self._waker.wake(transaction.wakes)

    def _call(self, callbacks: Any) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001 - the commit stands, whatever a listener makes of it
                self._log.exception("callback failed after a commit", callback=repr(callback))

    def _report_abandoned(self, task: asyncio.Task[Any]) -> None:
        """The caller went away: what becomes of its transaction is told to the log."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.warning("transaction of a cancelled call failed", error=str(error), kind=type(error).__name__)


def _answering(work: Work[T]) -> Work[T]:
    async def claim_work_answer(tx: Transaction) -> T:
        await tx.claim()
        result = await work(tx)
        if not isinstance(result, Message):
            raise TypeError(f"keyed work returns the response message, not {type(result).__name__}")
        await tx.answer(result)
        return result

    return claim_work_answer


@contextmanager
def _visible_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failure = classify(error)
        seen = visible(failure) if failure else None
        if seen is None:
            raise
        raise seen from error


def _commit_unknown() -> CommitUnknown:
    return CommitUnknown(
        "DEPENDENCY_UNAVAILABLE",
        "the database did not confirm the change; repeat with the same idempotency key to learn what became of it",
        metadata={"dependency": "database", "outcome": "unknown"},
        retry_after=RETRY_LATER,
    )


def _parse_response(response: bytes) -> Message:
    method = current_call().method
    if method is None:
        raise LookupError("an answer is stored for methods only")
    descriptor = descriptor_pool.Default().FindMessageTypeByName(method.response_type)
    return message_factory.GetMessageClass(descriptor).FromString(response)
