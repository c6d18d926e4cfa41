"""The neighbours of order, one call and one translation each."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, assert_never

from mesh.errors import FailedPrecondition
from mesh.wire import money_from_proto, money_to_proto
from services.order.events import Shortage
from services.order.pricing import Product
from services.order.saga import (
    Authorize,
    Authorized,
    Capture,
    Captured,
    CardDeclined,
    Commit,
    Committed,
    Refund,
    RefundDenied,
    Refunded,
    Release,
    Released,
    Reply,
    Reserve,
    Reserved,
    Step,
    TooFew,
    Void,
    Voided,
)
from services.order.state import Order
from zoco.inventory.v1 import inventory_service_pb2 as inventory
from zoco.payment.v1 import payment_service_pb2 as payment
from zoco.product.v1 import product_pb2
from zoco.product.v1 import product_service_pb2 as product

if TYPE_CHECKING:  # generated stubs are asynchronous by the channel they get; only their types know the two kinds apart
    from zoco.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub
    from zoco.payment.v1.payment_service_pb2_grpc import PaymentServiceAsyncStub
    from zoco.product.v1.product_service_pb2_grpc import ProductServiceAsyncStub

Key = tuple[tuple[str, str]]

DENIALS = frozenset({"REFUND_EXCEEDS_CAPTURED", "STATE_CONFLICT"})
"""With what payment refuses a refund for good."""


class ProductCatalog:
    """Prices, from product."""

    def __init__(self, stub: "ProductServiceAsyncStub") -> None:
        self._stub = stub

    async def find(self, product_ids: Sequence[str]) -> Mapping[str, Product]:
        """The products that exist, by id."""
        found = await self._stub.BatchGetProducts(product.BatchGetProductsRequest(ids=product_ids))
        return {
            each.id: Product(
                name=each.name,
                price=money_from_proto(each.price, field="price"),
                is_sold=each.state == product_pb2.Product.ACTIVE,
            )
            for each in found.products
        }


class Stocks:
    """Pieces, from inventory."""

    def __init__(self, stub: "InventoryServiceAsyncStub") -> None:
        self._stub = stub

    async def available(self, product_ids: Sequence[str]) -> Mapping[str, int]:
        """Pieces that can be bought, by product."""
        found = await self._stub.BatchGetStock(inventory.BatchGetStockRequest(product_ids=product_ids))
        return {stock.product_id: stock.available for stock in found.stocks}


class CheckoutParticipants:
    """Inventory and payment, as a checkout asks them.

    What is a reply is for sure. Any other error, a refusal that no reply stands for included, leaves the step open.
    """

    def __init__(self, stock: "InventoryServiceAsyncStub", money: "PaymentServiceAsyncStub") -> None:
        self._stock = stock
        self._money = money

    async def ask(self, order: Order, step: Step, card: str | None) -> Reply:
        """Asks for a step, under the key `order_id:step`.

        Raises:
            MeshError: The answer is not known.
        """
        key: Key = (("idempotency-key", f"{order.id}:{step.name}"),)
        match step:
            case Reserve():
                return await self._reserve(order.id, step, key)
            case Authorize():
                return await self._authorize(order.id, step, card, key)
            case Capture():
                return await self._capture(order.id, key)
            case Commit():
                await self._stock.CommitStock(inventory.CommitStockRequest(order_id=order.id), metadata=key)
                return Committed()
            case Void():
                await self._money.Void(payment.VoidRequest(order_id=order.id), metadata=key)
                return Voided()
            case Release():
                await self._stock.ReleaseStock(inventory.ReleaseStockRequest(order_id=order.id), metadata=key)
                return Released()
            case Refund():
                return await self._refund(order.id, step, key)
            case _:
                assert_never(step)

    async def _reserve(self, order_id: str, step: Reserve, key: Key) -> Reply:
        lines = [inventory.StockLine(product_id=line.product_id, quantity=line.quantity) for line in step.lines]
        try:
            await self._stock.ReserveStock(inventory.ReserveStockRequest(order_id=order_id, lines=lines), metadata=key)
        except FailedPrecondition as refused:
            if refused.reason != "INSUFFICIENT_STOCK":
                raise
            return TooFew(tuple(Shortage(each.subject, each.description) for each in refused.preconditions))
        return Reserved()

    async def _authorize(self, order_id: str, step: Authorize, card: str | None, key: Key) -> Reply:
        if card is None:
            raise FailedPrecondition("STATE_CONFLICT", f"the card of order {order_id} is not known any more")
        request = payment.AuthorizeRequest(
            order_id=order_id, user_id=step.user_id, amount=money_to_proto(step.amount), payment_token=card
        )
        try:
            return Authorized((await self._money.Authorize(request, metadata=key)).id)
        except FailedPrecondition as refused:
            return _declined(refused)

    async def _capture(self, order_id: str, key: Key) -> Reply:
        try:
            await self._money.Capture(payment.CaptureRequest(order_id=order_id), metadata=key)
        except FailedPrecondition as refused:
            return _declined(refused)
        return Captured()

    async def _refund(self, order_id: str, step: Refund, key: Key) -> Reply:
        request = payment.RefundRequest(order_id=order_id, amount=money_to_proto(step.amount), reason=step.reason)
        try:
            await self._money.Refund(request, metadata=key)
        except FailedPrecondition as refused:
            if refused.reason not in DENIALS:
                raise
            return RefundDenied(step.number, refused.reason)
        return Refunded(step.number)


def _declined(refused: FailedPrecondition) -> CardDeclined:
    if refused.reason != "PAYMENT_DECLINED":
        raise refused
    return CardDeclined(refused.metadata.get("decline_reason", ""))
