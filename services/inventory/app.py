"""What can be done with stock: one method a use case, one transaction each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import Message

from mesh.data import Database, Transaction
from mesh.errors import Aborted, FailedPrecondition, MeshError, Precondition, invalid_field, not_found
from services.inventory import store
from services.inventory.domain import (
    MOST_PIECES,
    Change,
    HoldState,
    Line,
    RepeatedProduct,
    Shortage,
    Stock,
    in_lock_order,
    shortages,
)
from services.inventory.metrics import InventoryMetrics
from services.inventory.store import Hold, MovementPage
from services.inventory.wire import change_to_event, low_to_event, stock_to_proto
from zoco.inventory.v1 import inventory_service_pb2 as service
from zoco.inventory.v1 import stock_pb2

AnswerT = TypeVar("AnswerT", bound=Message)

FIRST_STOCK: Final = "first stock"
"""The reason of the movement with which a product's stock begins."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The use cases of inventory."""

    database: Database
    metrics: InventoryMetrics
    low: int
    """A stock is low when fewer pieces than this are available."""

    async def get(self, product_id: str) -> Stock:
        """The stock of a product.

        Raises:
            NotFound: It has none.
        """
        found = await self.find([product_id])
        if product_id not in found:
            raise not_found("stock", product_id)
        return found[product_id]

    async def find(self, product_ids: Sequence[str]) -> dict[str, Stock]:
        """The stock of those products that have one."""
        async with self.database.reading() as connection:
            return await store.find(connection, product_ids)

    async def list_movements(self, product_id: str, *, before: int, size: int) -> MovementPage:
        """The newest movements of a product whose version is below `before`.

        Raises:
            NotFound: The product has no stock.
        """
        async with self.database.reading() as connection:
            page = await store.list_movements(connection, product_id, before=before, size=size)
            # The first stock is a movement: a first page without any means that there is no stock.
            if not page.movements and product_id not in await store.find(connection, [product_id]):
                raise not_found("stock", product_id)
        return page

    async def open_stock(self, tx: Transaction, pieces: dict[str, int]) -> None:
        """Makes the stock of new products. What has stock is left alone, so a repeat changes nothing."""
        self._publish(tx, await store.open_stock(tx, pieces, reason=FIRST_STOCK, now=tx.clock()))

    async def adjust(self, product_id: str, delta: int, reason: str) -> stock_pb2.Stock:
        """Adds `delta` pieces; negative takes away.

        Raises:
            NotFound: The product has no stock.
            FailedPrecondition: STOCK_BELOW_ZERO.
            InvalidArgument: More pieces than can be counted.
        """

        async def work(tx: Transaction) -> stock_pb2.Stock | MeshError:
            await tx.claim()
            adjusting = await store.adjust(tx, product_id, delta, reason=reason, low=self.low, now=tx.clock())
            if adjusting is None:
                raise not_found("stock", product_id)
            answer: stock_pb2.Stock | MeshError
            if adjusting.change is None:
                answer = _out_of_bounds(delta, adjusting.before)
            else:
                self._publish(tx, [adjusting.change])
                answer = stock_to_proto(adjusting.change.stock, whole=True)
            await tx.answer(answer)
            return answer

        return _unless_refused(await self.database.transact(work, named="adjust"))

    async def reserve(self, order_id: str, lines: Sequence[Line]) -> service.ReserveStockResponse:
        """Holds the pieces of all lines of an order, or of none. An order that has them already keeps them.

        Raises:
            FailedPrecondition: INSUFFICIENT_STOCK with a violation a product; RESERVATION_RELEASED;
                STATE_CONFLICT if the order has reserved something else.
            InvalidArgument: A product stands in two lines.
        """
        try:
            wanted = in_lock_order(lines)
        except RepeatedProduct as repeated:
            raise invalid_field(f"lines[{repeated.index}].product_id", "must name a product once") from repeated

        async def work(tx: Transaction) -> service.ReserveStockResponse | MeshError:
            await tx.claim()
            answer: service.ReserveStockResponse | MeshError = service.ReserveStockResponse()
            reserving = await store.reserve(tx, order_id, wanted, low=self.low, now=tx.clock())
            if reserving.changes:
                self._publish(tx, reserving.changes)
            elif reserving.available:
                await store.unhold(tx, order_id)
                answer = _insufficient(order_id, shortages(wanted, reserving.available))
                tx.after_commit(self.metrics.refused.inc)
            else:
                _require_same(order_id, await store.find_hold(tx, order_id), wanted)
            # A refusal is an answer too: the transaction commits it, so that a repeat meets the same one.
            await tx.answer(answer)
            return answer

        return _unless_refused(await self.database.transact(work, named="reserve"))

    async def commit(self, order_id: str) -> service.CommitStockResponse:
        """Turns the reservation of an order into a sale. What is sold stays sold.

        Raises:
            FailedPrecondition: STATE_CONFLICT: nothing was reserved, or it was released.
        """

        async def work(tx: Transaction) -> service.CommitStockResponse:
            changes = await store.commit(tx, order_id, now=tx.clock())
            if not changes:
                hold = await store.find_hold(tx, order_id)
                if hold is None or hold.state is not HoldState.COMMITTED:
                    raise _conflict(order_id, hold)
            self._publish(tx, changes)
            return service.CommitStockResponse()

        return await self.database.transact(work, keyed=True, named="commit")

    async def release(self, order_id: str) -> service.ReleaseStockResponse:
        """Gives the pieces of an order back, reserved or sold. Where nothing was reserved yet, it never will be."""

        async def work(tx: Transaction) -> service.ReleaseStockResponse:
            now = tx.clock()
            changes = await store.release(tx, order_id, now=now)
            if not changes and not await store.bury(tx, order_id, now=now):
                # Released before; or reserved by a transaction that the first statement was too early to see.
                changes = await store.release(tx, order_id, now=now)
            self._publish(tx, changes)
            return service.ReleaseStockResponse()

        return await self.database.transact(work, keyed=True, named="release")

    def _publish(self, tx: Transaction, changes: Sequence[Change]) -> None:
        for change in changes:
            product_id = change.stock.product_id
            tx.publish(change_to_event(change), aggregate_id=product_id, version=change.version)
            if change.got_low:
                low = low_to_event(change, threshold=self.low)
                tx.publish(low, aggregate_id=product_id, version=change.stock.version)
                tx.after_commit(self.metrics.low.inc)
            tx.wake(product_id)


def _unless_refused(answer: AnswerT | MeshError) -> AnswerT:
    if isinstance(answer, MeshError):
        raise answer
    return answer


def _insufficient(order_id: str, short: Sequence[Shortage]) -> FailedPrecondition:
    return FailedPrecondition(
        "INSUFFICIENT_STOCK",
        f"too few pieces of {len(short)} of the products",
        metadata={"order_id": order_id},
        preconditions=[
            Precondition("STOCK", each.product_id, f"{each.available} available, {each.wanted} wanted")
            for each in short
        ],
    )


def _out_of_bounds(delta: int, before: int) -> MeshError:
    if delta > 0:
        return invalid_field("delta", f"must leave no more than {MOST_PIECES} pieces received in all")
    return FailedPrecondition(
        "STOCK_BELOW_ZERO",
        f"{before} pieces are available; {-delta} cannot be taken away",
        metadata={"available": str(before)},
    )


def _require_same(order_id: str, hold: Hold | None, wanted: tuple[Line, ...]) -> None:
    """A repeat of a reservation finds it as it was made.

    Raises:
        FailedPrecondition: RESERVATION_RELEASED; STATE_CONFLICT where the order holds something else.
        Aborted: The hold that was in the way is gone again: its transaction found too little.
    """
    match hold:
        case None:
            raise Aborted("CONCURRENT_CHANGE", f"the stock of order {order_id} is just being reserved; try again")
        case Hold(state=HoldState.RELEASED):
            raise FailedPrecondition(
                "RESERVATION_RELEASED",
                f"the stock of order {order_id} was released; it will not be reserved",
                metadata={"order_id": order_id},
            )
        case Hold(lines=lines) if lines != wanted:
            raise _conflict(order_id, hold)


def _conflict(order_id: str, hold: Hold | None) -> FailedPrecondition:
    state = hold.state.value if hold else "NOTHING_RESERVED"
    return FailedPrecondition(
        "STATE_CONFLICT", f"the stock of order {order_id} is {state}", metadata={"order_id": order_id, "state": state}
    )
