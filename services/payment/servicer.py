"""PaymentService on the wire: requests into use cases, results into responses."""

from typing import Any

from mesh.errors import invalid_field
from mesh.paging import next_token, read_page, uuid_key
from mesh.wire import money_from_proto
from services.payment.app import Payments
from services.payment.reconciliation import Reconciliation
from services.payment.wire import payment_to_proto, state_from_proto
from zoco.payment.v1 import payment_pb2
from zoco.payment.v1 import payment_service_pb2 as service
from zoco.payment.v1.payment_service_pb2_grpc import PaymentServiceServicer

MAX_REPORT = 256 * 1024


class PaymentServicer(PaymentServiceServicer):
    """The RPCs of payment."""

    def __init__(self, payments: Payments, reconciliation: Reconciliation) -> None:
        self._payments = payments
        self._reconciliation = reconciliation

    async def GetPayment(self, request: service.GetPaymentRequest, context: Any) -> payment_pb2.Payment:
        """One payment."""
        return payment_to_proto(await self._payments.get(request.id))

    async def ListPayments(self, request: service.ListPaymentsRequest, context: Any) -> service.ListPaymentsResponse:
        """All payments, newest first."""
        page = read_page(request, uuid_key)
        found = await self._payments.list(
            state=state_from_proto(request.state),
            order_id=request.order_id,
            before=page.after[0] if page.after else None,
            size=page.size + 1,
        )
        shown = found.payments[: page.size]
        more = len(found.payments) > page.size
        return service.ListPaymentsResponse(
            payments=[payment_to_proto(payment) for payment in shown],
            next_page_token=next_token(request, [shown[-1].id]) if more else "",
            total_size=found.total,
        )

    async def Authorize(self, request: service.AuthorizeRequest, context: Any) -> payment_pb2.Payment:
        """Holds the amount of an order on a card."""
        amount = money_from_proto(request.amount, field="amount")
        if amount.minor <= 0:
            raise invalid_field("amount", "must be more than zero")
        payment = await self._payments.authorize(
            order_id=request.order_id, user_id=request.user_id, amount=amount, token=request.payment_token
        )
        return payment_to_proto(payment)

    async def Capture(self, request: service.CaptureRequest, context: Any) -> payment_pb2.Payment:
        """Takes the amount held."""
        return payment_to_proto(await self._payments.capture(request.order_id))

    async def Void(self, request: service.VoidRequest, context: Any) -> payment_pb2.Payment:
        """Gives up a hold."""
        return payment_to_proto(await self._payments.void(request.order_id))

    async def Refund(self, request: service.RefundRequest, context: Any) -> payment_pb2.Payment:
        """Gives a captured amount back, in part or whole."""
        payment = await self._payments.refund(
            request.order_id, amount=money_from_proto(request.amount, field="amount"), reason=request.reason
        )
        return payment_to_proto(payment)

    async def HandleWebhook(self, request: service.HandleWebhookRequest, context: Any) -> service.HandleWebhookResponse:
        """Takes what a provider reports of itself."""
        if len(request.body.data) > MAX_REPORT:
            raise invalid_field("body", "must be at most 256 KiB")
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        await self._payments.take_report(
            request.provider, request.body.data, headers, look=self._reconciliation.look_at_report
        )
        return service.HandleWebhookResponse()
