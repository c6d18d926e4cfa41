"""Neighbours of order: small, faithful to their contracts, and disturbed on demand.

They keep their own books (stock and money), serve a call under a key once, and say what they were asked. They stand in
for services that other rooms test; tests/journeys runs the real ones together.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from google.protobuf.message import Message

from mesh.errors import STATUS_DETAILS_KEY, FailedPrecondition, MeshError, Precondition, Unavailable, to_status
from mesh.ids import uuid7
from mesh.money import Money
from mesh.wire import money_from_proto, money_to_proto
from zoco.inventory.v1 import inventory_service_pb2 as inventory
from zoco.inventory.v1 import stock_pb2
from zoco.inventory.v1.inventory_service_pb2_grpc import InventoryServiceServicer
from zoco.payment.v1 import payment_pb2
from zoco.payment.v1 import payment_service_pb2 as payment
from zoco.payment.v1.payment_service_pb2_grpc import PaymentServiceServicer
from zoco.product.v1 import product_pb2
from zoco.product.v1 import product_service_pb2 as product
from zoco.product.v1.product_service_pb2_grpc import ProductServiceServicer

AWAY = Unavailable("DEPENDENCY_UNAVAILABLE", "not today")


@dataclass
class Gate:
    """A place in a call at which it waits until it is let through."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()


@dataclass
class Disturbance:
    """What goes wrong with the calls of one method."""

    before: list[MeshError] = field(default_factory=list)
    """Errors of the next calls, which then have no effect."""
    after: list[MeshError] = field(default_factory=list)
    """Errors of the next calls, which have their effect all the same: the answer is lost."""
    always: MeshError | None = None
    """The error of all calls, which have no effect."""
    gate_before: Gate | None = None
    """Where the next call waits before its effect."""
    gate_after: Gate | None = None
    """Where the next call waits before its answer."""


class Disturbed:
    """Counts calls, and disturbs them as a test says."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forgets everything."""
        self.calls: Counter[str] = Counter()
        self.keys: list[str] = []
        self.disturbances: dict[str, Disturbance] = defaultdict(Disturbance)

    def disturb(self, method: str, **how: Any) -> None:
        self.disturbances[method] = Disturbance(**how)

    def stop_at(self, method: str, *, effect: bool) -> Gate:
        """Makes the next call of a method wait, before or after its effect."""
        gate = Gate()
        self.disturb(method, **({"gate_after": gate} if effect else {"gate_before": gate}))
        return gate

    async def serve(self, method: str, context: Any, effect: Callable[[], Awaitable[Message] | Message]) -> Any:
        self.calls[method] += 1
        metadata = dict(context.invocation_metadata())
        self.keys.append(metadata.get("idempotency-key", ""))
        how = self.disturbances[method]
        if (gate := how.gate_before) is not None:
            how.gate_before = None
            await gate.pass_through()
        if how.always is not None or how.before:
            await refuse(context, how.always or how.before.pop(0))
        try:
            answer = effect()
        except MeshError as error:
            await refuse(context, error)
        if (gate := how.gate_after) is not None:
            how.gate_after = None
            await gate.pass_through()
        if how.after:
            await refuse(context, how.after.pop(0))
        return answer


async def refuse(context: Any, error: MeshError) -> NoReturn:
    status = to_status(error, request_id="neighbour")
    context.set_trailing_metadata(((STATUS_DETAILS_KEY, status.SerializeToString()),))
    await context.abort(error.code, error.message)
    raise AssertionError("unreachable")


class Product(Disturbed, ProductServiceServicer):
    """A catalog."""

    def begin(self) -> None:
        super().begin()
        self.products: dict[str, product_pb2.Product] = {}

    def sell(self, name: str, price: Money) -> str:
        product_id = uuid7()
        self.products[product_id] = product_pb2.Product(
            id=product_id, name=name, price=money_to_proto(price), state=product_pb2.Product.ACTIVE
        )
        return product_id

    async def BatchGetProducts(self, request: product.BatchGetProductsRequest, context: Any) -> Any:
        def effect() -> Message:
            return product.BatchGetProductsResponse(
                products=[self.products[each] for each in request.ids if each in self.products],
                missing_ids=[each for each in request.ids if each not in self.products],
            )

        return await self.serve("BatchGetProducts", context, effect)


class Inventory(Disturbed, InventoryServiceServicer):
    """Stock with reservations that are whole or not at all, and tombstones."""

    def begin(self) -> None:
        super().begin()
        self.available: Counter[str] = Counter()
        self.reserved: Counter[str] = Counter()
        self.sold: Counter[str] = Counter()
        self.holds: dict[str, tuple[str, dict[str, int]]] = {}

    async def BatchGetStock(self, request: inventory.BatchGetStockRequest, context: Any) -> Any:
        def effect() -> Message:
            return inventory.BatchGetStockResponse(
                stocks=[
                    stock_pb2.Stock(product_id=each, available=self.available[each])
                    for each in request.product_ids
                    if each in self.available
                ]
            )

        return await self.serve("BatchGetStock", context, effect)

    async def ReserveStock(self, request: inventory.ReserveStockRequest, context: Any) -> Any:
        def effect() -> Message:
            state, lines = self.holds.get(request.order_id, ("NONE", {}))
            if state == "RELEASED":
                raise FailedPrecondition("RESERVATION_RELEASED", "it was released")
            wanted = {line.product_id: line.quantity for line in request.lines}
            if state == "NONE":
                short = [each for each, pieces in wanted.items() if self.available[each] < pieces]
                if short:
                    raise FailedPrecondition(
                        "INSUFFICIENT_STOCK",
                        "too few",
                        preconditions=[
                            Precondition("STOCK", each, f"{self.available[each]} available, {wanted[each]} wanted")
                            for each in short
                        ],
                    )
                self.available.subtract(wanted)
                self.reserved.update(wanted)
                self.holds[request.order_id] = ("RESERVED", wanted)
            else:
                assert lines == wanted
            return inventory.ReserveStockResponse()

        return await self.serve("ReserveStock", context, effect)

    async def CommitStock(self, request: inventory.CommitStockRequest, context: Any) -> Any:
        def effect() -> Message:
            state, lines = self.holds.get(request.order_id, ("NONE", {}))
            if state not in {"RESERVED", "COMMITTED"}:
                raise FailedPrecondition("STATE_CONFLICT", f"the stock is {state}")
            if state == "RESERVED":
                self.reserved.subtract(lines)
                self.sold.update(lines)
                self.holds[request.order_id] = ("COMMITTED", lines)
            return inventory.CommitStockResponse()

        return await self.serve("CommitStock", context, effect)

    async def ReleaseStock(self, request: inventory.ReleaseStockRequest, context: Any) -> Any:
        def effect() -> Message:
            state, lines = self.holds.get(request.order_id, ("NONE", {}))
            if state != "RELEASED":
                {"RESERVED": self.reserved, "COMMITTED": self.sold}.get(state, Counter()).subtract(lines)
                self.available.update(lines)
                self.holds[request.order_id] = ("RELEASED", lines)
            return inventory.ReleaseStockResponse()

        return await self.serve("ReleaseStock", context, effect)


@dataclass
class Account:
    """The money of one order."""

    payment_id: str
    state: str
    amount: Money
    captured: Money
    refunds: dict[str, Money] = field(default_factory=dict)

    @property
    def refunded(self) -> Money:
        return sum(self.refunds.values(), start=Money.zero(self.amount.currency))


class Payment(Disturbed, PaymentServiceServicer):
    """A payment service over a provider with the sandbox's tokens."""

    def begin(self) -> None:
        super().begin()
        self.accounts: dict[str, Account] = {}
        self.charges: Counter[str] = Counter()
        """How often money was taken, by order."""
        self.voids: set[str] = set()
        self.tokens: list[str] = []
        self.slow = asyncio.Event()
        """`tok_slow` is answered once this is set."""

    async def Authorize(self, request: payment.AuthorizeRequest, context: Any) -> Any:
        self.tokens.append(request.payment_token)
        if request.payment_token == "tok_slow":
            await self.slow.wait()

        def effect() -> Message:
            if request.order_id in self.voids:
                raise FailedPrecondition("STATE_CONFLICT", "it was voided")
            if request.payment_token in {"tok_declined", "tok_insufficient_funds"}:
                reason = "insufficient_funds" if request.payment_token.endswith("funds") else "card_declined"
                raise FailedPrecondition("PAYMENT_DECLINED", "declined", metadata={"decline_reason": reason})
            amount = money_from_proto(request.amount, field="amount")
            account = self.accounts.setdefault(
                request.order_id, Account(uuid7(), "AUTHORIZED", amount, Money.zero(amount.currency))
            )
            assert account.amount == amount
            return self._shown(request.order_id)

        return await self.serve("Authorize", context, effect)

    async def Capture(self, request: payment.CaptureRequest, context: Any) -> Any:
        def effect() -> Message:
            account = self.accounts.get(request.order_id)
            if account is None or account.state not in {"AUTHORIZED", "CAPTURED"}:
                raise FailedPrecondition("STATE_CONFLICT", "nothing is held")
            if account.state == "AUTHORIZED":
                account.state, account.captured = "CAPTURED", account.amount
                self.charges[request.order_id] += 1
            return self._shown(request.order_id)

        return await self.serve("Capture", context, effect)

    async def Void(self, request: payment.VoidRequest, context: Any) -> Any:
        def effect() -> Message:
            account = self.accounts.get(request.order_id)
            if account is not None and account.state == "CAPTURED":
                raise FailedPrecondition("STATE_CONFLICT", "it was captured")
            self.voids.add(request.order_id)
            if account is not None:
                account.state = "VOIDED"
            return payment_pb2.Payment(order_id=request.order_id, state=payment_pb2.Payment.VOIDED)

        return await self.serve("Void", context, effect)

    async def Refund(self, request: payment.RefundRequest, context: Any) -> Any:
        key = dict(context.invocation_metadata())["idempotency-key"]

        def effect() -> Message:
            account = self.accounts.get(request.order_id)
            if account is None or account.state != "CAPTURED":
                raise FailedPrecondition("STATE_CONFLICT", "nothing was captured")
            amount = money_from_proto(request.amount, field="amount")
            if key not in account.refunds:
                if account.refunded + amount > account.captured:
                    raise FailedPrecondition("REFUND_EXCEEDS_CAPTURED", "too much")
                account.refunds[key] = amount
            return self._shown(request.order_id)

        return await self.serve("Refund", context, effect)

    def _shown(self, order_id: str) -> payment_pb2.Payment:
        account = self.accounts[order_id]
        return payment_pb2.Payment(
            id=account.payment_id,
            order_id=order_id,
            state=payment_pb2.Payment.State.Value(account.state),
            amount=money_to_proto(account.amount),
            captured_amount=money_to_proto(account.captured),
            refunded_amount=money_to_proto(account.refunded),
        )
