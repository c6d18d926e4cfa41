"""The real catalog keeps what ImportProducts promises: the same tests that the command line's made-up shop passes."""

from collections.abc import Sequence

import pytest

from tests.cli.import_products_contract import Call, ImportProductsContract, unique
from tests.product.conftest import Shop
from zoco.product.v1.product_service_pb2 import ImportResult, ImportRow

__all__ = ["unique"]  # a fixture of the contract


@pytest.mark.asyncio(loop_scope="module")
class TestCatalog(ImportProductsContract):
    @pytest.fixture
    def call(self, shop: Shop) -> Call:
        async def call(rows: Sequence[ImportRow]) -> Sequence[ImportResult]:
            return await shop.load(*rows)

        return call
