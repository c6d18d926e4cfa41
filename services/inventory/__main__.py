"""`python -m services.inventory`: puts the service together."""

from mesh.service import Runtime, Service, run
from services.inventory.app import Inventory
from services.inventory.consumers import subscriptions
from services.inventory.metrics import InventoryMetrics
from services.inventory.servicer import InventoryServicer
from services.inventory.settings import InventorySettings
from zoco.inventory.v1.inventory_service_pb2_grpc import add_InventoryServiceServicer_to_server


async def build(runtime: Runtime[InventorySettings]) -> Service:
    """Inventory on a runtime; production and tests share it."""
    inventory = Inventory(
        database=runtime.database,
        metrics=InventoryMetrics(runtime.registry),
        low=runtime.settings.low_stock,
    )
    servicer = InventoryServicer(inventory, wakes=runtime.wakes)
    return Service(
        servicers=[(add_InventoryServiceServicer_to_server, servicer)],
        subscriptions=subscriptions(inventory),
    )


if __name__ == "__main__":
    run("inventory", build, settings=InventorySettings)
