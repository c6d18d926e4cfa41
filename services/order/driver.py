"""Drives orders to their end: asks what the saga says, appends what follows, puts off what cannot be known yet.

A step is asked outside of any transaction, under the key `order_id:step`. What follows is appended at the version the
step was asked at, and the same transaction makes the next step due. Of two that drive one order, one loses there.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog

from mesh.background import Background
from mesh.call import Call, serving
from mesh.crashpoints import crashpoint
from mesh.data import Database, Transaction
from mesh.data.event_store import ConcurrencyConflict
from mesh.data.idempotency import is_definitive
from mesh.errors import FailedPrecondition, MeshError
from mesh.ids import uuid7
from services.order import leases, store
from services.order.domain import GiveUp, decide
from services.order.events import Change
from services.order.leases import Lease
from services.order.metrics import OrderMetrics
from services.order.saga import Reply, Step, next_step, react
from services.order.state import Order
from services.order.storage import UnreadableHistory
from services.order.store import OrderStore

T = TypeVar("T")

ACTOR: Final = "order"
"""Who did it, in the audit trail, where no person did."""

TRIES: Final = 10
"""How often a result is appended that somebody else's append always comes before."""

RENEWALS: Final = 3
"""How often a lease is renewed in the time it lasts."""


class Participants(Protocol):
    """The neighbours of a checkout."""

    async def ask(self, order: Order, step: Step, card: str | None) -> Reply:
        """Asks for a step under its key; however often, it is done once.

        Raises:
            MeshError: The answer is not known: ask again.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast, how patient and how much at once; see the settings."""

    lease: timedelta
    poll: timedelta
    patience: timedelta
    back_off_first: timedelta
    back_off_most: timedelta
    set_aside: timedelta
    at_once: int

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after so many attempts in vain: doubling, with full jitter, so that none come in step."""
        longest = min(self.back_off_first * (1 << min(attempts, 20)), self.back_off_most)
        return longest * random.random()  # noqa: S311 - jitter, no secret


class Driver:
    """Drives the orders that calls of this process set going, and those that no process drives any more."""

    def __init__(
        self,
        *,
        database: Database,
        orders: OrderStore,
        participants: Participants,
        background: Background,
        metrics: OrderMetrics,
        pace: Pace,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._database = database
        self._orders = orders
        self._participants = participants
        self._background = background
        self._metrics = metrics
        self._pace = pace
        self._log = log
        self._driving: Counter[str] = Counter()
        self._taken_over = 0

    def start(self, order: Order, *, card: str | None = None) -> asyncio.Task[Order]:
        """Drives an order that this process has just appended to, and so holds the lease of.

        Returns:
            A task that no caller's cancel ends; its result is the order as far as it got.
        """
        step = next_step(order)
        lease = Lease(order.id, step.name if step else "", card=card)
        return self._background.spawn(self._drive(lease, order), name=f"drive order {order.id}")

    async def run(self) -> None:
        """Takes over orders that are due, for as long as the process runs."""
        while True:
            # Orders that calls wait for do not count: under whatever load, what a crash left behind is gone on with.
            room = self._pace.at_once - self._taken_over
            taken = await self._unless_away(partial(self._take_over, room)) if room else 0
            if not taken or taken < room:
                await asyncio.sleep(self._pace.poll.total_seconds())

    async def keep(self) -> None:
        """Renews the leases of the orders being driven, for as long as the process runs."""
        while True:
            await asyncio.sleep(self._pace.lease.total_seconds() / RENEWALS)
            await self._unless_away(self._renew)

    async def _take_over(self, most: int) -> int:
        due = await self._database.transact(
            partial(leases.take_due, most=most, lease=self._pace.lease, patience=self._pace.patience),
            named="take_over",
        )
        # A process that stood still for a while finds its own orders due: it goes on with them as it is.
        for lease in (each for each in due if each.order_id not in self._driving):
            # Counted here and not by the task, which begins later than this asks again how much room there is.
            self._taken_over += 1
            task = self._background.spawn(self._resume(lease), name=f"drive order {lease.order_id}")
            task.add_done_callback(self._let_go)
        return len(due)

    def _let_go(self, _: asyncio.Task[None]) -> None:
        self._taken_over -= 1

    async def _resume(self, lease: Lease) -> None:
        try:
            with serving(Call(None, request_id=uuid7(), correlation_id=lease.correlation_id)):
                await self._drive(lease, None)
        except UnreadableHistory as unreadable:
            # The next event cannot be decided on a history that is not understood. Others have their own.
            self._log.error("order set aside", order=lease.order_id, step=lease.step, reason=str(unreadable))
            await self._set_aside(lease, str(unreadable))

    async def _drive(self, lease: Lease, order: Order | None) -> Order:
        try:
            with self._held(lease.order_id):
                order = order or await self._load(lease.order_id)
                if lease.overdue and (changes := decide(order, GiveUp())):
                    order = await self._append(order, changes, named="give_up")
                while (step := next_step(order)) is not None:
                    lease = replace(lease, step=step.name)
                    crashpoint(f"order.{_kind(step.name)}.before_ask")
                    reply = await self._participants.ask(order, step, lease.card)
                    crashpoint(f"order.{_kind(step.name)}.after_reply")
                    order, is_ours = await self._conclude(order, step, reply)
                    if not is_ours:
                        break
                    lease = replace(lease, attempts=0)
        except ConcurrencyConflict:
            return await self._load(lease.order_id)  # somebody else has appended, and drives on
        except MeshError as error:
            return await self._put_off(lease, error)
        except UnreadableHistory:
            raise
        except Exception:
            await self._back_off(lease, "INTERNAL_ERROR")
            raise
        return order

    async def _conclude(self, order: Order, step: Step, reply: Reply) -> tuple[Order, bool]:
        """Appends what follows from a reply, also when a person's command came in between.

        Returns:
            The order after it, and whether it is still this process's to drive: not if somebody else was faster.

        Raises:
            FailedPrecondition: The neighbour contradicts what the order is owed; or the order's row does not fit its
                history, so that nothing can be appended.
        """
        for _ in range(TRIES):
            if next_step(order) != step:
                return order, False
            changes = react(order, reply)
            if not changes:
                raise FailedPrecondition("STATE_CONFLICT", f"{reply} contradicts order {order.id}")
            try:
                return await self._append(order, changes, named=_kind(step.name)), True
            except ConcurrencyConflict:
                order = await self._load(order.id)
        # No people are that fast: the row stands at another version than the history. A rebuild mends it.
        raise FailedPrecondition("STATE_CONFLICT", f"the row of order {order.id} does not fit its history")

    async def _append(self, order: Order, changes: tuple[Change, ...], *, named: str) -> Order:
        async def work(tx: Transaction) -> Order:
            return await self._orders.append(tx, order, changes, actor=ACTOR)

        return await self._database.transact(work, named=named)

    async def _load(self, order_id: str) -> Order:
        async with self._database.reading() as connection:
            order = await store.load(connection, order_id)
        if order is None:
            raise LookupError(f"order {order_id} has a saga and no history")
        return order

    async def _put_off(self, lease: Lease, error: MeshError) -> Order:
        """Puts off a step whose answer is not known, unless somebody else has concluded it in the meantime."""
        order = await self._load(lease.order_id)
        step = next_step(order)
        if step is None or step.name != lease.step:
            return order
        # A refusal that is none of the saga's replies means that two ledgers disagree: a person has to look.
        log = self._log.error if is_definitive(error) else self._log.info
        log("step put off", order=order.id, step=step.name, reason=error.reason, detail=error.message)
        await self._back_off(lease, error.reason)
        return order

    async def _back_off(self, lease: Lease, reason: str) -> None:
        self._metrics.asked_again.labels(_kind(lease.step), reason).inc()
        pause = self._pace.pause(lease.attempts)

        async def work(tx: Transaction) -> None:
            await leases.back_off(tx, lease.order_id, lease.step, pause=pause, error=reason)

        await self._database.transact(work, named="put_off")

    async def _set_aside(self, lease: Lease, reason: str) -> None:
        async def work(tx: Transaction) -> None:
            await leases.set_aside(tx, lease.order_id, lease.step, pause=self._pace.set_aside, error=reason)

        await self._database.transact(work)

    async def _renew(self) -> None:
        if self._driving:
            await self._database.transact(partial(leases.renew, order_ids=set(self._driving), lease=self._pace.lease))
        async with self._database.reading() as connection:
            self._metrics.under_way(await leases.under_way(connection))

    @contextmanager
    def _held(self, order_id: str) -> Iterator[None]:
        self._driving[order_id] += 1
        try:
            yield
        finally:
            self._driving[order_id] -= 1
            if not self._driving[order_id]:
                del self._driving[order_id]

    async def _unless_away(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Does a piece of the loop's work, or lets it be until the database is back."""
        try:
            return await work()
        except MeshError as error:
            self._log.warning("the database is away", reason=error.reason)
            return None


def _kind(step: str) -> str:
    """The kind of a step: refunds are numbered."""
    return step.partition(":")[0]
