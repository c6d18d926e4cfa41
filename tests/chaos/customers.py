"""Customers as they should be: each repeats a call under its key until there is an answer, and writes that down."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import httpx

from mesh.ids import uuid7
from tests.chaos.ledger import Acknowledged, Ledger, Said
from tests.chaos.points import Flow
from tests.journeys.conftest import ADDRESS
from tests.journeys.running import RunningShop
from tests.journeys.transports import Answer, Client, Json, Refused, Rest

PASSWORD: Final = "correct horse battery staple"
PRICE: Final = {"currencyCode": "EUR", "units": "12", "nanos": 500_000_000}
REFUND: Final = {"currencyCode": "EUR", "units": "1", "nanos": 0}
PIECES: Final = 1_000_000

PASSING: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""What a client repeats: it is gone at the next try, or at a later one."""

PATIENCE: Final = 180.0
"""Seconds for which a customer repeats a call, and waits for an order to come to rest."""

AT_REST: Final = frozenset({"CONFIRMED", "SHIPPED", "DELIVERED", "REJECTED", "CANCELLED"})


class GaveUp(Exception):
    """The shop gave no answer within a customer's patience. Names the call."""


@dataclass
class Customers:
    """Everybody who comes to one shop in one run.

    Args:
        shop: The shop.
        ledger: Where they write down what they were told.
        seed: Of what they do by chance.
    """

    shop: RunningShop
    ledger: Ledger
    seed: int
    product: str = ""
    """The product that all of them buy."""
    scarce: str = ""
    """The product of which there is one piece, and everybody wants two."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from the first try of each CreateOrder to its answer."""

    passing: set[grpc.StatusCode] = field(default_factory=lambda: set(PASSING))
    """What they repeat."""

    def __post_init__(self) -> None:
        self._door = Rest(self.shop.address)
        self._chance = random.Random(self.seed)
        self._admin: Client | None = None
        self._admin_until = 0.0

    async def open(self) -> None:
        """The administrator puts something on sale."""
        admin = await self.admin()
        categories = (await self._insist(admin, "ProductService.ListCategories"))["categories"]
        self.product = await self._put_on_sale(admin, categories[0]["id"], PIECES)
        self.scarce = await self._put_on_sale(admin, categories[0]["id"], 1)

    async def close(self) -> None:
        """Everybody goes home."""
        await self._door.close()

    async def go_through(self, flow: Flow, *, with_key: str | None = None) -> None:
        """One customer goes through a flow to its end.

        Raises:
            GaveUp: The shop did not answer in time.
        """
        steps: dict[Flow, Callable[[Client, str], Awaitable[None]]] = {
            Flow.BUY: self._buy,
            Flow.DECLINED: self._declined,
            Flow.SOLD_OUT: self._sold_out,
            Flow.LOST_ANSWER: self._lost_answer,
            Flow.STUMBLE: self._stumble,
            Flow.CANCEL_EARLY: self._cancel_early,
            Flow.CANCEL_LATE: self._cancel_late,
            Flow.REFUND: self._refund,
            Flow.RESTOCK: self._restock,
            Flow.SESSION: self._session,
        }
        await steps[flow](await self._arrive(), with_key or uuid7())
        self.ledger.finished += 1

    async def check_repeats(self, orders: list[Acknowledged]) -> None:
        """Sends calls again that were answered: the answers must be the same, byte for byte."""
        for order in orders:
            client = Client(self._door, order.buyer)
            said = await self._say(client, "OrderService.CreateOrder", order.request)
            if said != order.said:
                self.ledger.wrong.append(f"order {order.order_id}: a repeat was answered {said}, not {order.said}")

    async def check_ends(self, orders: list[Acknowledged]) -> None:
        """Looks whether each order came to the end it was promised, with the money where it belongs."""
        admin = await self.admin()
        for order in orders:
            now = await self._insist(admin, "OrderService.GetOrder", {"id": order.order_id})
            if now["state"] not in order.ends:
                self.ledger.wrong.append(f"order {order.order_id} ({order.flow.value}) ended {now['state']}")
                continue
            refunded = _decimal(now["refundedAmount"])
            if order.refunded is not None and refunded != order.refunded:
                self.ledger.wrong.append(f"order {order.order_id}: refunded {refunded}, not {order.refunded}")

    async def admin(self) -> Client:
        """Whoever runs the shop, logged in."""
        now = asyncio.get_running_loop().time()
        if self._admin is None or now > self._admin_until:
            email, password = self.shop.admin
            tokens = await self._insist(Client(self._door), "AuthService.Login", {"email": email, "password": password})
            self._admin = Client(self._door, tokens["accessToken"], self._policy)
            self._admin_until = now + 600
        return self._admin

    @property
    def _policy(self) -> Any:
        return self._admin.policy if self._admin else Client(self._door).policy

    async def _arrive(self) -> Client:
        email = f"{uuid7()}@example.com"
        nobody = Client(self._door, policy=self._policy)
        account = {"email": email, "password": PASSWORD, "displayName": "A Customer"}
        try:
            await self._insist(nobody, "UserService.Register", account)
        except Refused as refused:
            if refused.code is not grpc.StatusCode.ALREADY_EXISTS:  # else the first answer was lost on its way
                raise
        tokens = await self._insist(nobody, "AuthService.Login", {"email": email, "password": PASSWORD})
        return nobody.with_token(tokens["accessToken"])

    async def _place(
        self, buyer: Client, flow: Flow, key: str, *ends: str, card: str = "tok_visa", product: str = ""
    ) -> Acknowledged:
        request = {
            "items": [{"productId": product or self.product, "quantity": 2 if product else 1}],
            "paymentToken": card,
            "shippingAddress": ADDRESS,
            "requestId": key,
        }
        began = asyncio.get_running_loop().time()
        said = await self._say(buyer, "OrderService.CreateOrder", request)
        self.latencies.append(asyncio.get_running_loop().time() - began)
        order_id = said.details.get("order_id") or said.details.get("id") or ""
        order = Acknowledged(flow, buyer.token or "", request, said, order_id, ends)
        if order_id:
            self.ledger.orders.append(order)
        else:
            self.ledger.wrong.append(f"CreateOrder under {key}: {said}")
        return order

    async def _buy(self, buyer: Client, key: str) -> None:
        order = await self._place(buyer, Flow.BUY, key, "SHIPPED")
        await self._rest(buyer, order)
        shipment = {"id": order.order_id, "carrier": "DHL", "trackingNumber": key}
        await self._insist(await self.admin(), "OrderService.ShipOrder", shipment)

    async def _declined(self, buyer: Client, key: str) -> None:
        await self._rest(buyer, await self._place(buyer, Flow.DECLINED, key, "REJECTED", card="tok_declined"))

    async def _sold_out(self, buyer: Client, key: str) -> None:
        order = await self._place(buyer, Flow.SOLD_OUT, key, "REJECTED", product=self.scarce)
        await self._rest(buyer, order)

    async def _lost_answer(self, buyer: Client, key: str) -> None:
        order = await self._place(buyer, Flow.LOST_ANSWER, key, "CONFIRMED", card="tok_charged_then_timeout")
        await self._rest(buyer, order)

    async def _stumble(self, buyer: Client, key: str) -> None:
        await self._rest(buyer, await self._place(buyer, Flow.STUMBLE, key, "CONFIRMED", card="tok_error_once"))

    async def _cancel_early(self, buyer: Client, key: str) -> None:
        order = await self._place(buyer, Flow.CANCEL_EARLY, key, "CANCELLED", card="tok_slow")
        await self._cancel(buyer, order)

    async def _cancel_late(self, buyer: Client, key: str) -> None:
        order = await self._place(buyer, Flow.CANCEL_LATE, key, "CANCELLED")
        await self._rest(buyer, order)
        order.refunded = "12.50"
        await self._cancel(buyer, order)

    async def _refund(self, buyer: Client, key: str) -> None:
        order = await self._place(buyer, Flow.REFUND, key, "CONFIRMED")
        await self._rest(buyer, order)
        order.refunded = "2.00"
        for number in (1, 2):
            refund = {"id": order.order_id, "amount": REFUND, "reason": "broken", "requestId": f"{key}-{number}"}
            await self._insist(await self.admin(), "OrderService.RefundOrder", refund)
        await self._until(
            buyer, order, lambda now: _decimal(now["refundedAmount"]) == "2.00", "what was refunded twice"
        )

    async def _restock(self, _: Client, key: str) -> None:
        admin = await self.admin()
        categories = (await self._insist(admin, "ProductService.ListCategories"))["categories"]
        product = await self._put_on_sale(admin, categories[0]["id"], 5, key=f"{key}-product")
        adjustment = {"productId": product, "delta": 7, "reason": "found", "requestId": key}
        await self._insist(admin, "InventoryService.AdjustStock", adjustment)
        stock = await self._insist(admin, "InventoryService.GetStock", {"productId": product})
        if stock["available"] != 12:
            self.ledger.wrong.append(f"product {product}: 5 and 7 pieces are {stock['available']}")

    async def _session(self, _: Client, key: str) -> None:
        nobody = Client(self._door, policy=self._policy)
        account = {"email": f"{key}@example.com", "password": PASSWORD, "displayName": "A Visitor"}
        try:
            await self._insist(nobody, "UserService.Register", account)
        except Refused as refused:
            if refused.code is not grpc.StatusCode.ALREADY_EXISTS:
                raise
        log_in = {"email": account["email"], "password": PASSWORD}
        tokens = await self._insist(nobody, "AuthService.Login", log_in)
        spent = tokens["refreshToken"]
        try:
            tokens = await self._insist(nobody, "AuthService.Refresh", {"refreshToken": spent})
        except Refused:  # the answer was lost with the successor in it, and the repeat looked like a thief's
            tokens = await self._insist(nobody, "AuthService.Login", log_in)
        if await self._works(nobody, spent):
            self.ledger.wrong.append("a refresh token was good for two sessions")
        visitor = nobody.with_token(tokens["accessToken"])
        user = await self._insist(visitor, "UserService.GetUser", {"id": "me"})
        try:
            await self._insist(visitor, "UserService.DeleteUser", {"id": user["id"]})
        except Refused as refused:
            if refused.code not in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.NOT_FOUND}:
                raise  # else it is gone already, and its token with it

    async def _works(self, nobody: Client, refresh_token: str) -> bool:
        try:
            await self._insist(nobody, "AuthService.Refresh", {"refreshToken": refresh_token})
        except Refused:
            return False
        return True

    async def _put_on_sale(self, admin: Client, category: str, pieces: int, *, key: str | None = None) -> str:
        product = {
            "name": f"Teapot {uuid7()}",
            "description": "A teapot that is ordered over and over.",
            "price": PRICE,
            "categoryId": category,
        }
        request = {"product": product, "initialStock": pieces, "requestId": key or uuid7()}
        made = await self._insist(admin, "ProductService.CreateProduct", request)
        ids = {"productIds": [made["id"]]}

        async def in_stock() -> bool:
            return bool((await self._insist(admin, "InventoryService.BatchGetStock", ids))["stocks"])

        await self._wait(in_stock, f"first stock of {made['id']}")
        return str(made["id"])

    async def _cancel(self, buyer: Client, order: Acknowledged) -> None:
        await self._insist(buyer, "OrderService.CancelOrder", {"id": order.order_id, "reason": "changed my mind"})
        await self._until(buyer, order, lambda now: now["state"] == "CANCELLED", "cancellation")

    async def _rest(self, buyer: Client, order: Acknowledged) -> None:
        if order.order_id:
            await self._until(buyer, order, lambda now: now["state"] in AT_REST, "end")

    async def _until(self, buyer: Client, order: Acknowledged, done: Callable[[Json], bool], what: str) -> None:
        async def is_done() -> bool:
            return done(await self._insist(buyer, "OrderService.GetOrder", {"id": order.order_id}))

        await self._wait(is_done, f"{what} of order {order.order_id}")

    async def _wait(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise GaveUp(f"no {what} within {PATIENCE:.0f} s") from None

    async def _say(self, client: Client, method: str, request: Json) -> Said:
        """Insists on an answer, which may be a refusal for good."""
        try:
            answer = await self._answer(client, method, request)
        except Refused as refused:
            details = {**refused.metadata, "violations": refused.details.get("PreconditionFailure", {})}
            return Said(b"", refused.reason, details)
        return Said(answer.raw, details={"id": answer.body["id"]})

    async def _insist(self, client: Client, method: str, request: Json | None = None) -> Json:
        """Calls until there is an answer. Raises Refused if it is one for good."""
        return (await self._answer(client, method, request)).body

    async def _answer(self, client: Client, method: str, request: Json | None) -> Answer:
        last = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        return await client.answer(method, request)
                    except Refused as refused:
                        if refused.code not in self.passing:
                            if refused.code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}:
                                self.ledger.wrong.append(f"{method}: {refused}")
                            raise
                        last = str(refused)
                    except httpx.TransportError as lost:
                        last = repr(lost)
                    self.ledger.repeated.append(f"{method}: {last}")
                    await asyncio.sleep(self._chance.uniform(0.05, 0.3))
        except TimeoutError:
            raise GaveUp(f"{method} was not answered within {PATIENCE:.0f} s: {last}") from None


def _decimal(money: Json) -> str:
    return f"{int(money['units']) + int(money.get('nanos', 0)) / 1e9:.2f}"
