"""The order service's side of a payment, and what provider, table and outbox say of it."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from google.type.money_pb2 import Money
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from mesh.clock import utc_now
from mesh.errors import from_rpc_error
from mesh.ids import uuid7
from services.payment.providers.port import Provider
from services.payment.reconciliation import Outcome, Position
from services.payment.wiring import Wired, wire
from tests.harness import ServiceUnderTest
from zoco.payment.v1 import payment_service_pb2 as service
from zoco.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

TWENTY = Money(currency_code="EUR", units=20)
SECRET = "a secret for tests"

_keys = itertools.count()


class Order:
    """The order service's side of one order's payment."""

    def __init__(self, payments: ServiceUnderTest) -> None:
        self._stub = PaymentServiceStub(payments.channel("order"))
        self.id = uuid7()
        self.user_id = uuid7()

    async def authorize(self, card: str = "tok_visa", *, key: str | None = None, amount: Money = TWENTY) -> Any:
        request = service.AuthorizeRequest(order_id=self.id, user_id=self.user_id, amount=amount, payment_token=card)
        return await self._call(self._stub.Authorize, request, key)

    async def capture(self, *, key: str | None = None) -> Any:
        return await self._call(self._stub.Capture, service.CaptureRequest(order_id=self.id), key)

    async def void(self, *, key: str | None = None) -> Any:
        return await self._call(self._stub.Void, service.VoidRequest(order_id=self.id), key)

    async def refund(self, units: int, *, key: str | None = None, currency: str = "EUR", reason: str = "") -> Any:
        request = service.RefundRequest(
            order_id=self.id, amount=Money(currency_code=currency, units=units), reason=reason
        )
        return await self._call(self._stub.Refund, request, key)

    async def _call(self, method: Any, request: Any, key: str | None) -> Any:
        try:
            return await method(request, metadata=(("idempotency-key", key or f"key-{next(_keys)}"),))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


async def ledger(payments: ServiceUnderTest, order: Order) -> Sequence[tuple[str, str]]:
    """What the provider's own book says of an order."""
    statement = text("SELECT operation, outcome FROM sandbox.ledger WHERE reference = :reference ORDER BY create_time")
    async with payments.database.reading() as connection:
        return [tuple(row) for row in await connection.execute(statement, {"reference": order.id})]


async def events(payments: ServiceUnderTest) -> Sequence[str]:
    """What was published, in order."""
    async with payments.database.reading() as connection:
        rows = await connection.execute(text("SELECT type FROM outbox ORDER BY id"))
        return [row.type.rpartition(".")[2] for row in rows]


@dataclass
class Looking:
    """Reconciliation with a clock that is two minutes ahead: by then, what was just begun was left open."""

    payments: ServiceUnderTest
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    wired: Wired = field(init=False)

    def __post_init__(self) -> None:
        self.wired = wire(
            self.payments.running.runtime.settings,
            database=self.payments.database,
            clock=lambda: utc_now() + timedelta(minutes=2),
            registry=self.registry,
        )

    async def round(self) -> Outcome:
        """A round of a process that has just started."""
        outcome, _ = await self.wired.reconciliation.round(Position(utc_now() - timedelta(hours=1)))
        return outcome

    async def close(self) -> None:
        for each in self.wired.closable:
            await each.close()

    @property
    def gauge(self) -> float | None:
        """What the metric shows."""
        return self.registry.get_sample_value("payment_discrepancies")

    @property
    def provider(self) -> Provider:
        """The provider that new payments go to, to be asked past the service."""
        return self.wired.payments.provider


async def left_open(
    payments: ServiceUnderTest, order: Order, operation: str, *, units: int = 20, reason: str = ""
) -> str:
    """What a process leaves that dies after noting an attempt: the attempt's key."""
    key = f"{order.id}:{operation}"
    statement = text(
        "INSERT INTO attempt (payment_id, operation, key, amount, state, create_time, reason)"
        " SELECT id, :operation, :key, :amount, 'STARTED', now(), :reason FROM payment WHERE order_id = :order"
    )
    values = {"operation": operation, "key": key, "amount": units * 100, "reason": reason, "order": order.id}
    async with payments.database.reading() as connection:
        await connection.execute(statement, values)
    return key


async def attempts(payments: ServiceUnderTest, order: Order) -> dict[str, str]:
    """The attempts of an order's payment and how they stand."""
    statement = text(
        "SELECT operation, attempt.state FROM attempt JOIN payment ON payment.id = payment_id WHERE order_id = :order"
    )
    async with payments.database.reading() as connection:
        return {row.operation: row.state for row in await connection.execute(statement, {"order": order.id})}


async def row(payments: ServiceUnderTest, order: Order) -> Any:
    """The payment as its table has it."""
    async with payments.database.reading() as connection:
        return (
            await connection.execute(text("SELECT * FROM payment WHERE order_id = :order"), {"order": order.id})
        ).one()


async def discrepancies(payments: ServiceUnderTest) -> Sequence[tuple[str, str, str, bool]]:
    """Kind, ours, theirs, and whether it is resolved; in the order they were found."""
    statement = text("SELECT kind, ours, theirs, resolved_at IS NOT NULL FROM discrepancy ORDER BY found_at, kind")
    async with payments.database.reading() as connection:
        return [tuple(each) for each in await connection.execute(statement)]
