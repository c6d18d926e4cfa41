"""`python -m services.product`: puts the service together."""

from mesh.service import Runtime, Service, run
from services.product.app import Catalog
from services.product.consumers import subscriptions
from services.product.servicer import ProductServicer
from services.product.settings import ProductSettings
from zoco.product.v1.product_service_pb2_grpc import add_ProductServiceServicer_to_server


async def build(runtime: Runtime[ProductSettings]) -> Service:
    """The catalog on a runtime; production and tests share it."""
    catalog = Catalog(database=runtime.database, stock_patience=runtime.settings.stock_patience_seconds)
    servicer = ProductServicer(catalog, currency=runtime.settings.currency)
    return Service(
        servicers=[(add_ProductServiceServicer_to_server, servicer)],
        subscriptions=subscriptions(catalog),
    )


if __name__ == "__main__":
    run("product", build, settings=ProductSettings)
