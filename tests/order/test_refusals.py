"""What callers are told when an order cannot be: every field at fault has its violation."""

from collections.abc import Mapping, Sequence

import pytest

from mesh.errors import InvalidArgument
from mesh.ids import uuid7
from mesh.money import Money
from services.order.pricing import Product, price


class TwoCurrencies:
    """A catalog that prices every other product in another currency."""

    async def find(self, product_ids: Sequence[str]) -> Mapping[str, Product]:
        prices = (Money("EUR", 100), Money("USD", 100))
        return {
            product_id: Product("cup", prices[index % 2], is_sold=True) for index, product_id in enumerate(product_ids)
        }


async def test_products_in_two_currencies_are_refused_by_field() -> None:
    with pytest.raises(InvalidArgument) as refused:
        await price(TwoCurrencies(), {uuid7(): 1, uuid7(): 1})
    error = refused.value
    assert (error.reason, error.metadata) == ("CURRENCY_MISMATCH", {"currency": "EUR"})
    assert [violation.field for violation in error.field_violations] == ["items"]
