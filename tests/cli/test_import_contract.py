"""The tests' shop keeps what ImportProducts promises, as the real product service does."""

from collections.abc import AsyncIterator, Sequence

import pytest

from tests.cli.import_products_contract import Call, ImportProductsContract, unique
from tests.cli.import_shop import EMAIL, PASSWORD, open_shop
from zoco.product.v1.product_service_pb2 import ImportProductsRequest, ImportResult, ImportRow
from zoco.product.v1.product_service_pb2_grpc import ProductServiceStub
from zoco.user.v1.auth_service_pb2 import LoginRequest
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceStub

__all__ = ["unique"]  # a fixture of the contract


class TestImportShop(ImportProductsContract):
    @pytest.fixture
    async def call(self) -> AsyncIterator[Call]:
        async with open_shop() as shop, shop.channel() as channel:
            login = await AuthServiceStub(channel).Login(LoginRequest(email=EMAIL, password=PASSWORD))

            async def call(rows: Sequence[ImportRow]) -> Sequence[ImportResult]:
                answer = await ProductServiceStub(channel).ImportProducts(
                    ImportProductsRequest(rows=rows), metadata=(("authorization", f"Bearer {login.access_token}"),)
                )
                return answer.results

            yield call
