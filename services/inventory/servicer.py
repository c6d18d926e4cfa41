"""InventoryService on the wire: requests into use cases, results into responses."""

from collections.abc import Sequence
from typing import Any, Final

from mesh.call import current_call
from mesh.data.wakes import Wakes
from mesh.paging import next_token, number_key, read_page
from mesh.streams import Step, resumed_from, watch
from mesh.wire import canonical_id, plain_text
from services.inventory.app import Inventory
from services.inventory.domain import Line
from services.inventory.wire import (
    movement_to_proto,
    position_from_text,
    position_to_text,
    stock_to_proto,
)
from zoco.inventory.v1 import inventory_service_pb2 as service
from zoco.inventory.v1 import stock_pb2
from zoco.inventory.v1.inventory_service_pb2_grpc import InventoryServiceServicer

_BEFORE_ALL: Final = 2**63 - 1
"""No version is higher: the first page of movements begins below it."""


class InventoryServicer(InventoryServiceServicer):
    """The RPCs of inventory."""

    def __init__(self, inventory: Inventory, *, wakes: Wakes) -> None:
        self._inventory = inventory
        self._wakes = wakes

    async def GetStock(self, request: service.GetStockRequest, context: Any) -> stock_pb2.Stock:
        """The stock of a product."""
        stock = await self._inventory.get(canonical_id(request.product_id))
        return stock_to_proto(stock, whole=current_call().is_admin)

    async def BatchGetStock(
        self,
        request: service.BatchGetStockRequest,
        context: Any,
    ) -> service.BatchGetStockResponse:
        """Several stocks at once, and which products have none."""
        asked = list(dict.fromkeys(canonical_id(product_id) for product_id in request.product_ids))
        found = await self._inventory.find(asked)
        whole = current_call().is_admin
        return service.BatchGetStockResponse(
            stocks=[stock_to_proto(found[product_id], whole=whole) for product_id in asked if product_id in found],
            missing_ids=[product_id for product_id in asked if product_id not in found],
        )

    async def AdjustStock(self, request: service.AdjustStockRequest, context: Any) -> stock_pb2.Stock:
        """Adds pieces, or takes some away."""
        reason = plain_text(request.reason, field="reason")
        return await self._inventory.adjust(canonical_id(request.product_id), request.delta, reason)

    async def ListStockMovements(
        self,
        request: service.ListStockMovementsRequest,
        context: Any,
    ) -> service.ListStockMovementsResponse:
        """Every change of a stock, newest first."""
        page = read_page(request, number_key)
        before = page.after[0] if page.after else _BEFORE_ALL
        found = await self._inventory.list_movements(
            canonical_id(request.product_id), before=before, size=page.size + 1
        )
        shown = found.movements[: page.size]
        more = len(found.movements) > page.size
        return service.ListStockMovementsResponse(
            movements=[movement_to_proto(movement) for movement in shown],
            next_page_token=next_token(request, [shown[-1].version]) if more else "",
            total_size=found.total,
        )

    async def WatchStock(  # type: ignore[override]  # it writes to the context, which gRPC allows and its types do not say
        self, request: service.WatchStockRequest, context: Any
    ) -> None:
        """The stock of some products now, and again whenever it changes."""
        product_ids = list(dict.fromkeys(canonical_id(product_id) for product_id in request.product_ids))
        whole = current_call().is_admin
        position = resumed_from(request.position, context)
        position_from_text(position)  # refused before the stream begins

        async def read(position: str) -> Sequence[Step]:
            seen = position_from_text(position)
            steps: list[Step] = []
            found = await self._inventory.find(product_ids)
            for product_id, stock in found.items():
                if stock.version > seen.get(product_id, 0):
                    seen[product_id] = stock.version
                    message = service.WatchStockResponse(stock=stock_to_proto(stock, whole=whole))
                    steps.append(Step(message, position_to_text(seen)))
            return steps

        await watch(
            context,
            response=service.WatchStockResponse,
            position=position,
            read=read,
            wakes=self._wakes,
            keys=product_ids,
        )

    async def ReserveStock(
        self,
        request: service.ReserveStockRequest,
        context: Any,
    ) -> service.ReserveStockResponse:
        """Holds the pieces of all lines of an order, or of none."""
        lines = [Line(canonical_id(line.product_id), line.quantity) for line in request.lines]
        return await self._inventory.reserve(canonical_id(request.order_id), lines)

    async def CommitStock(
        self,
        request: service.CommitStockRequest,
        context: Any,
    ) -> service.CommitStockResponse:
        """Turns the reservation of an order into a sale."""
        return await self._inventory.commit(canonical_id(request.order_id))

    async def ReleaseStock(
        self,
        request: service.ReleaseStockRequest,
        context: Any,
    ) -> service.ReleaseStockResponse:
        """Gives the pieces of an order back."""
        return await self._inventory.release(canonical_id(request.order_id))
