"""OrderService on the wire: requests into use cases, results into responses."""

from collections.abc import Awaitable, Sequence
from typing import Any

from mesh.call import current_call
from mesh.data import Database
from mesh.data.wakes import Wakes
from mesh.errors import MeshError
from mesh.paging import next_token, number_key, read_page, uuid_key
from mesh.streams import Step, resumed_from, watch
from mesh.wire import canonical_id, moment_from_proto, money_to_proto, plain_text
from services.order.app import Orders
from services.order.events import Shipment
from services.order.store import Shown
from services.order.wire import (
    address_from_proto,
    amount_from_proto,
    items_to_proto,
    order_to_proto,
    position_from_text,
    quantities_from_proto,
    state_from_proto,
    trail_to_proto,
)
from zoco.order.v1 import order_pb2
from zoco.order.v1 import order_service_pb2 as service
from zoco.order.v1.order_service_pb2_grpc import OrderServiceServicer


class OrderServicer(OrderServiceServicer):
    """The RPCs of order."""

    def __init__(self, orders: Orders, *, database: Database, wakes: Wakes) -> None:
        self._orders = orders
        self._database = database
        self._wakes = wakes

    async def CreateOrder(self, request: service.CreateOrderRequest, context: Any) -> order_pb2.Order:
        """Places an order and drives it until it is decided."""
        return await self._answer_once(
            self._orders.create(
                quantities_from_proto(request.items),
                card=request.payment_token,
                address=address_from_proto(request.shipping_address),
                by=current_call(),
            )
        )

    async def PreviewOrder(self, request: service.PreviewOrderRequest, context: Any) -> service.PreviewOrderResponse:
        """What an order would cost now."""
        offer, short = await self._orders.preview(quantities_from_proto(request.items))
        return service.PreviewOrderResponse(
            items=items_to_proto(offer.lines),
            total_amount=money_to_proto(offer.total),
            available=not short,
            unavailable_product_ids=short,
        )

    async def GetOrder(self, request: service.GetOrderRequest, context: Any) -> order_pb2.Order:
        """One order, as it is or as it was."""
        as_of = moment_from_proto(request.as_of, field="as_of") if request.HasField("as_of") else None
        return _to_proto(await self._orders.get(canonical_id(request.id), by=current_call(), as_of=as_of))

    async def ListOrders(self, request: service.ListOrdersRequest, context: Any) -> service.ListOrdersResponse:
        """Orders, newest first."""
        page = read_page(request, uuid_key)
        found = await self._orders.find_many(
            user_id=canonical_id(request.user_id) or None,
            state=state_from_proto(request.state),
            before=page.after[0] if page.after else None,
            most=page.size + 1,
            by=current_call(),
        )
        shown = found.orders[: page.size]
        more = len(found.orders) > page.size
        return service.ListOrdersResponse(
            orders=[_to_proto(each) for each in shown],
            next_page_token=next_token(request, [shown[-1].view.id]) if more else "",
            total_size=found.total,
        )

    async def CancelOrder(self, request: service.CancelOrderRequest, context: Any) -> order_pb2.Order:
        """Calls an order off."""
        reason = plain_text(request.reason, field="reason")
        return _to_proto(await self._orders.cancel(canonical_id(request.id), reason, by=current_call()))

    async def RefundOrder(self, request: service.RefundOrderRequest, context: Any) -> order_pb2.Order:
        """Gives money back."""
        amount = amount_from_proto(request.amount) if request.HasField("amount") else None
        reason = plain_text(request.reason, field="reason")
        return await self._answer_once(self._orders.refund(canonical_id(request.id), amount, reason, by=current_call()))

    async def ShipOrder(self, request: service.ShipOrderRequest, context: Any) -> order_pb2.Order:
        """Notes that an order is on its way."""
        shipment = Shipment(
            plain_text(request.carrier, field="carrier"),
            plain_text(request.tracking_number, field="tracking_number"),
        )
        return _to_proto(await self._orders.ship(canonical_id(request.id), shipment, by=current_call()))

    async def DeliverOrder(self, request: service.DeliverOrderRequest, context: Any) -> order_pb2.Order:
        """Notes that an order has arrived."""
        return _to_proto(await self._orders.deliver(canonical_id(request.id), by=current_call()))

    async def ListOrderEvents(
        self, request: service.ListOrderEventsRequest, context: Any
    ) -> service.ListOrderEventsResponse:
        """The audit trail of an order, oldest first."""
        page = read_page(request, number_key)
        found = await self._orders.history(
            canonical_id(request.id), after=page.after[0] if page.after else 0, most=page.size + 1, by=current_call()
        )
        shown = found.entries[: page.size]
        more = len(found.entries) > page.size
        return service.ListOrderEventsResponse(
            events=[trail_to_proto(each.version, each.event, each.time, each.actor) for each in shown],
            next_page_token=next_token(request, [shown[-1].version]) if more else "",
            total_size=found.total,
        )

    async def WatchOrder(  # type: ignore[override]  # it writes to the context, which gRPC allows and its types do not say
        self, request: service.WatchOrderRequest, context: Any
    ) -> None:
        """An order now, and again whenever it changes, until it can change no more."""
        order_id, call = canonical_id(request.id), current_call()
        asked = request.position or (str(request.version) if request.version else "")
        position = resumed_from(asked, context)
        position_from_text(position)  # refused before the stream begins, like an order that is not the caller's
        await self._orders.get(order_id, by=call)

        async def read(seen: str) -> Sequence[Step]:
            shown = await self._orders.get(order_id, by=call)
            is_last = shown.view.state.is_terminal
            # Who has seen the last version already is shown it once more: the end needs something to follow.
            if shown.view.version <= position_from_text(seen) and not is_last:
                return ()
            message = service.WatchOrderResponse(order=_to_proto(shown))
            return (Step(message, str(shown.view.version), last=is_last),)

        await watch(
            context,
            response=service.WatchOrderResponse,
            position=position,
            read=read,
            wakes=self._wakes,
            keys=[order_id],
        )

    async def _answer_once(self, outcome: Awaitable[Shown]) -> order_pb2.Order:
        """Makes an outcome the answer under the call's key, unless one was given before: then that is given again."""
        try:
            order = _to_proto(await outcome)
        except MeshError as refused:
            await self._database.answer_once(refused)
            raise
        return await self._database.answer_once(order)


def _to_proto(shown: Shown) -> order_pb2.Order:
    return order_to_proto(shown.view, shown.address)
