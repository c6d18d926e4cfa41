"""What products cost at this moment, and whether there is enough of them. Asked before anything is placed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.errors import FailedPrecondition, FieldViolation, InvalidArgument, invalid_field, not_found
from mesh.money import CurrencyMismatch, InvalidAmount, Money
from services.order.events import Line
from services.order.state import total_of


@dataclass(frozen=True, slots=True)
class Product:
    """What the catalog says of a product."""

    name: str
    price: Money
    is_sold: bool


class Catalog(Protocol):
    """Who knows the prices."""

    async def find(self, product_ids: Sequence[str]) -> Mapping[str, Product]:
        """The products that exist, by id."""


class Warehouse(Protocol):
    """Who knows how much there is."""

    async def available(self, product_ids: Sequence[str]) -> Mapping[str, int]:
        """Pieces that can be bought, by product; what has no stock is left out."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Lines at today's prices."""

    lines: tuple[Line, ...]
    total: Money


async def price(catalog: Catalog, wanted: Mapping[str, int]) -> Offer:
    """Today's prices for so many pieces of each product.

    Raises:
        NotFound: There is no such product.
        FailedPrecondition: PRODUCT_NOT_SOLD: it is archived.
        InvalidArgument: CURRENCY_MISMATCH; or the total is more than can be stored.
        Unavailable: The catalog is away.
    """
    products = await catalog.find(list(wanted))
    for product_id in wanted:
        if product_id not in products:
            raise not_found("product", product_id)
        if not products[product_id].is_sold:
            raise FailedPrecondition(
                "PRODUCT_NOT_SOLD", f"product {product_id} is no longer sold", metadata={"product_id": product_id}
            )
    lines = tuple(
        Line(product_id, products[product_id].name, products[product_id].price, quantity)
        for product_id, quantity in wanted.items()
    )
    try:
        return Offer(lines, total_of(lines))
    except CurrencyMismatch as mixed:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            "the products are priced in several currencies",
            metadata={"currency": lines[0].unit_price.currency},
            field_violations=[FieldViolation("items", "must be priced in one currency")],
        ) from mixed
    except InvalidAmount as beyond:
        raise invalid_field("items", "must cost less together") from beyond


async def shortages(warehouse: Warehouse, wanted: Mapping[str, int]) -> tuple[str, ...]:
    """The products of which there is too little at this moment."""
    available = await warehouse.available(list(wanted))
    return tuple(product_id for product_id, pieces in wanted.items() if available.get(product_id, 0) < pieces)
