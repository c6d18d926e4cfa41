"""What can be done with orders: one method a use case."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.type.postal_address_pb2 import PostalAddress

from mesh.call import Call
from mesh.data import Database, Transaction
from mesh.data.idempotency import is_definitive
from mesh.data.wakes import Wakes
from mesh.errors import MeshError, PermissionDenied, not_found
from mesh.ids import uuid7
from mesh.money import CurrencyMismatch, Money
from services.order import pricing, store
from services.order.domain import Cancel, Command, Deliver, RefundMoney, Refused, Ship, decide, place
from services.order.driver import Driver
from services.order.events import OrderPlaced, Shipment
from services.order.pricing import Catalog, Offer, Warehouse
from services.order.projections import view_of
from services.order.refusals import exceeds_captured, refusal, rejection
from services.order.saga import next_step
from services.order.state import Order, Refund, RefundState, State
from services.order.store import OrderStore, Recorded, Shown

Done = Callable[[Order], bool]
"""Whether what a caller waits for has come."""


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A part of a list, and how long the whole is."""

    orders: Sequence[Shown]
    total: int


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of an audit trail, and how long the whole is."""

    entries: Sequence[Recorded]
    total: int


@dataclass(frozen=True, kw_only=True)
class Orders:
    """The use cases of order. To those who may not see an order it does not exist."""

    database: Database
    store: OrderStore
    driver: Driver
    catalog: Catalog
    warehouse: Warehouse
    wakes: Wakes
    answer_within: timedelta
    """How long a call waits for what it set going, from its own beginning on."""

    async def create(self, wanted: Mapping[str, int], *, card: str, address: PostalAddress, by: Call) -> Shown:
        """Places an order and waits, but not for long, until it is decided.

        Raises:
            FailedPrecondition: INSUFFICIENT_STOCK or PAYMENT_DECLINED, the order being rejected; PRODUCT_NOT_SOLD.
            NotFound: There is no such product.
            InvalidArgument: CURRENCY_MISMATCH, or the total is beyond measure.
            Unavailable: The catalog is away; nothing was placed.
            KeyTaken: Another call has the idempotency key.
        """
        until = self._patient_until()
        if by.key is not None and by.key.resource_id is not None:
            # The process that placed it died before it could answer: this call answers for the same order.
            order, drive = await self._load(by.key.resource_id), None
        else:
            offer = await self._offer(wanted)
            order = await self._place(place(uuid7(), by.user_id, offer.lines), card=card, address=address)
            drive = self.driver.start(order, card=card)
        order = await self._wait(order, drive, lambda now: now.state is not State.PENDING, until=until)
        if (refused := rejection(order)) is not None:
            raise refused
        return Shown(view_of(order), address)

    async def preview(self, wanted: Mapping[str, int]) -> tuple[Offer, Sequence[str]]:
        """What an order would cost now, and the products of which there is too little. Nothing is held.

        Raises:
            MeshError: As `create`, before anything is placed.
        """
        offer = await pricing.price(self.catalog, wanted)
        return offer, await pricing.shortages(self.warehouse, wanted)

    async def get(self, order_id: str, *, by: Call, as_of: datetime | None = None) -> Shown:
        """An order as it is, or as it was.

        Raises:
            NotFound: There is none, or was none yet.
        """
        async with self.database.reading() as connection:
            shown = await store.find(connection, order_id)
            if shown is None or not _may_see(by, shown.view.user_id):
                raise not_found("order", order_id)
            if as_of is None:
                return shown
            past = await store.load(connection, order_id, until=as_of)
        if past is None:
            raise not_found("order", order_id)
        return Shown(view_of(past), shown.address)

    async def find_many(
        self, *, user_id: str | None, state: State | None, before: str | None, most: int, by: Call
    ) -> OrderPage:
        """Orders, newest first: the caller's own, or for an administrator everybody's.

        Raises:
            PermissionDenied: NOT_YOURS: a customer asks for somebody else's.
        """
        if not by.is_admin:
            if user_id not in {None, by.user_id}:
                raise PermissionDenied("NOT_YOURS", "user_id names somebody else", metadata={"field": "user_id"})
            user_id = by.user_id
        async with self.database.reading() as connection:
            found = await store.find_many(connection, user_id=user_id, state=state, before=before, most=most)
            return OrderPage(found, await store.count(connection, user_id=user_id, state=state))

    async def history(self, order_id: str, *, after: int, most: int, by: Call) -> HistoryPage:
        """The entries of an order's audit trail behind a version, oldest first.

        Raises:
            NotFound: There is no such order.
        """
        shown = await self.get(order_id, by=by)
        async with self.database.reading() as connection:
            entries = await store.history(connection, order_id, after=after, most=most)
        return HistoryPage(entries, shown.view.version)

    async def cancel(self, order_id: str, reason: str, *, by: Call) -> Shown:
        """Calls an order off and waits, but not for long, until everything is given back.

        Raises:
            NotFound: There is no such order.
            FailedPrecondition: STATE_CONFLICT: it was shipped or rejected.
        """
        until = self._patient_until()
        order, drive = await self._command(order_id, Cancel(reason, by.user_id), by=by)
        return await self._shown(await self._wait(order, drive, lambda now: now.state is State.CANCELLED, until=until))

    async def refund(self, order_id: str, amount: Money | None, reason: str, *, by: Call) -> Shown:
        """Gives money back, without an amount all that is left, and waits, but not for long, until it is done.

        Raises:
            NotFound: There is no such order.
            FailedPrecondition: REFUND_EXCEEDS_CAPTURED; STATE_CONFLICT: nothing was charged.
            InvalidArgument: CURRENCY_MISMATCH.
            KeyTaken: Another call has the idempotency key.
        """
        until = self._patient_until()
        if by.key is not None and by.key.resource_id is not None:
            refund_id = by.key.resource_id
            order, drive = await self._load(order_id), None
        else:
            refund_id = uuid7()
            command = RefundMoney(refund_id, amount, reason, by.user_id)
            order, drive = await self._command(order_id, command, by=by, claim=refund_id)
        order = await self._wait(
            order, drive, lambda now: _refund(now, refund_id).state is not RefundState.OPEN, until=until
        )
        if _refund(order, refund_id).state is RefundState.REFUSED:
            raise exceeds_captured(order.refundable)
        return await self._shown(order)

    async def ship(self, order_id: str, shipment: Shipment, *, by: Call) -> Shown:
        """Notes that an order is on its way.

        Raises:
            NotFound: There is no such order.
            FailedPrecondition: STATE_CONFLICT: it is not confirmed, or travels otherwise.
        """
        order, _ = await self._command(order_id, Ship(shipment), by=by)
        return await self._shown(order)

    async def deliver(self, order_id: str, *, by: Call) -> Shown:
        """Notes that an order has arrived.

        Raises:
            NotFound: There is no such order.
            FailedPrecondition: STATE_CONFLICT: it is not on its way.
        """
        order, _ = await self._command(order_id, Deliver(), by=by)
        return await self._shown(order)

    async def forget(self, tx: Transaction, user_ids: Sequence[str]) -> None:
        """Erases what orders keep of persons beside their history: where they go."""
        await store.erase_addresses(tx, user_ids)

    async def _offer(self, wanted: Mapping[str, int]) -> Offer:
        """Today's prices. A refusal is the call's answer, so that a repeat meets the same one."""
        try:
            return await pricing.price(self.catalog, wanted)
        except MeshError as refused:
            if is_definitive(refused):
                await self._answer(refused)
            raise

    async def _answer(self, refused: MeshError) -> None:
        async def work(tx: Transaction) -> None:
            # Claimed first: a call with the same key that has placed an order in the meantime must keep its answer.
            await tx.claim()
            await tx.answer(refused)

        await self.database.transact(work, named="refuse")

    async def _place(self, placed: OrderPlaced, *, card: str, address: PostalAddress) -> Order:
        async def work(tx: Transaction) -> Order:
            await tx.claim(resource_id=placed.order_id)
            return await self.store.place(tx, placed, card=card, address=address)

        return await self.database.transact(work, named="create")

    async def _command(
        self, order_id: str, command: Command, *, by: Call, claim: str | None = None
    ) -> tuple[Order, asyncio.Task[Order] | None]:
        """Carries a command out in one transaction, and sets going what follows from it.

        Args:
            order_id: Which order.
            command: What is wanted.
            by: Who wants it.
            claim: For a keyed call, what a repeat after a crash is to continue with.
        """

        async def work(tx: Transaction) -> tuple[Order, bool] | MeshError:
            if claim is not None:
                await tx.claim(resource_id=claim)
            order = await store.lock(tx, order_id)
            if order is None or not _may_see(by, order.user_id):
                raise not_found("order", order_id)
            try:
                changes = decide(order, command)
            except (Refused, CurrencyMismatch) as refused:
                answer = refusal(refused, order)
                await tx.answer(answer)
                return answer
            if not changes:
                return order, False
            return await self.store.append(tx, order, changes, actor=by.user_id), True

        outcome = await self.database.transact(work, named="command")
        if isinstance(outcome, MeshError):
            raise outcome
        order, is_new = outcome
        return order, self.driver.start(order) if is_new and next_step(order) else None

    def _patient_until(self) -> float:
        """When a call that begins now answers whatever has come about, in the event loop's time."""
        return asyncio.get_running_loop().time() + self.answer_within.total_seconds()

    async def _wait(self, order: Order, drive: asyncio.Task[Order] | None, done: Done, *, until: float) -> Order:
        """Waits until something has come about, whoever brings it about.

        Args:
            order: As it was set going.
            drive: The task of this process that drives it, if one does.
            done: What is waited for.
            until: When it answers all the same.

        Returns:
            The order as it stands then.
        """
        loop = asyncio.get_running_loop()
        with self.wakes.subscribe([order.id]) as watcher:
            if drive is not None:
                await asyncio.wait([drive], timeout=max(0.0, until - loop.time()))
                if drive.done() and not drive.cancelled() and drive.exception() is None and done(drive.result()):
                    return drive.result()
            while not done(order := await self._load(order.id)) and (left := until - loop.time()) > 0:
                await watcher.wait(left)
        return order

    async def _load(self, order_id: str) -> Order:
        async with self.database.reading() as connection:
            order = await store.load(connection, order_id)
        if order is None:
            raise not_found("order", order_id)
        return order

    async def _shown(self, order: Order) -> Shown:
        async with self.database.reading() as connection:
            return Shown(view_of(order), await store.find_address(connection, order.id))


def _may_see(call: Call, user_id: str) -> bool:
    return call.is_admin or call.user_id == user_id


def _refund(order: Order, refund_id: str) -> Refund:
    return next(refund for refund in order.refunds if refund.id == refund_id)
