"""`python -m services.order`: puts the service together."""

from mesh.service import Runtime, Service, run
from services.order.app import Orders
from services.order.clients import CheckoutParticipants, ProductCatalog, Stocks
from services.order.consumers import subscriptions
from services.order.driver import Driver, Pace
from services.order.metrics import OrderMetrics
from services.order.servicer import OrderServicer
from services.order.settings import OrderSettings
from services.order.store import OrderStore
from zoco.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from zoco.order.v1.order_service_pb2_grpc import add_OrderServiceServicer_to_server
from zoco.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from zoco.product.v1.product_service_pb2_grpc import ProductServiceStub


async def build(runtime: Runtime[OrderSettings]) -> Service:
    """Order on a runtime; production and tests share it."""
    settings = runtime.settings
    metrics = OrderMetrics(runtime.registry)
    store = OrderStore(metrics=metrics, lease=settings.lease)
    inventory = InventoryServiceStub(runtime.channel("inventory"))
    driver = Driver(
        database=runtime.database,
        orders=store,
        participants=CheckoutParticipants(inventory, PaymentServiceStub(runtime.channel("payment"))),
        background=runtime.background,
        metrics=metrics,
        pace=Pace(
            lease=settings.lease,
            poll=settings.poll,
            patience=settings.patience,
            back_off_first=settings.back_off_first,
            back_off_most=settings.back_off_most,
            set_aside=settings.set_aside,
            at_once=settings.at_once,
        ),
        log=runtime.log,
    )
    orders = Orders(
        database=runtime.database,
        store=store,
        driver=driver,
        catalog=ProductCatalog(ProductServiceStub(runtime.channel("product"))),
        warehouse=Stocks(inventory),
        wakes=runtime.wakes,
        answer_within=settings.answer_within,
    )
    servicer = OrderServicer(orders, database=runtime.database, wakes=runtime.wakes)
    return Service(
        servicers=[(add_OrderServiceServicer_to_server, servicer)],
        subscriptions=subscriptions(orders),
        tasks=[driver.run, driver.keep],
    )


if __name__ == "__main__":
    run("order", build, settings=OrderSettings)
