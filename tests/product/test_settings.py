"""What the catalog is told at start."""

import pytest
from google.type.money_pb2 import Money
from pydantic import ValidationError

from mesh.errors import MeshError
from services.product.__main__ import build
from services.product.settings import ProductSettings
from tests.harness import Harness, Tokens
from tests.product.conftest import refused
from zoco.product.v1 import product_pb2
from zoco.product.v1 import product_service_pb2 as service
from zoco.product.v1.product_service_pb2_grpc import ProductServiceStub


async def test_a_shop_may_trade_in_a_currency_without_decimals(harness: Harness, tokens: Tokens) -> None:
    async with harness.running("product", build, settings=ProductSettings, ZOCO_CURRENCY="JPY") as running:
        shop = ProductServiceStub(running.channel("edge", tokens.admin()))
        rows = [
            service.ImportRow(line=1, name="Tea", category="Drinks", price={"currency_code": "JPY", "units": 120}),
            service.ImportRow(line=2, name="Sake", category="Drinks", price={"currency_code": "EUR", "units": 1}),
        ]
        results = (await shop.ImportProducts(service.ImportProductsRequest(rows=rows))).results
        assert [(each.field, each.reason) for each in results] == [("", ""), ("currency", "is not the shop's currency")]
        listed = await shop.ListProducts(service.ListProductsRequest(min_price="120", max_price="120"))
        assert [product.name for product in listed.products] == ["Tea"]
        assert (listed.products[0].price.units, listed.products[0].state) == (120, product_pb2.Product.ACTIVE)
        error: MeshError = await refused(shop.ListProducts(service.ListProductsRequest(min_price="119.99")))
        assert [each.field for each in error.field_violations] == ["min_price"]


def test_the_currency_is_a_code_of_iso_4217() -> None:
    with pytest.raises(ValidationError, match="ZOCO_CURRENCY"):
        ProductSettings.model_validate({"ZOCO_CURRENCY": "euro"})


async def test_a_product_is_created_even_if_nobody_makes_its_stock(harness: Harness, tokens: Tokens) -> None:
    async with harness.running("product", build, settings=ProductSettings, ZOCO_STOCK_PATIENCE_SECONDS=0.1) as running:
        shop = ProductServiceStub(running.channel("edge", tokens.admin()))
        category = await shop.CreateCategory(
            service.CreateCategoryRequest(category=product_pb2.Category(name="Drinks"))
        )
        product = product_pb2.Product(name="Tea", category_id=category.id, price=Money(currency_code="EUR", units=2))

        created = await shop.CreateProduct(service.CreateProductRequest(product=product, initial_stock=5))

        assert created.id
