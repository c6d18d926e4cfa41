"""What a product is and what may become of it: pure, with ids, the time and the shop's currency as arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from mesh.money import Money


class State(StrEnum):
    """Whether a product is sold."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an administrator says about a product; every field keeps the rules of rules.py."""

    name: str
    description: str
    price: Money
    category_id: str
    image_url: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Something the shop sells."""

    id: str
    facts: Facts
    state: State
    version: int
    """Rises by one with each event."""
    create_time: datetime
    update_time: datetime
    available: int = field(default=0, compare=False)
    """Pieces that can be bought, as last heard from inventory: not part of the product, and no change of it."""

    @property
    def etag(self) -> str:
        """The version a writer names, so that nobody's change is lost (AIP-154)."""
        return str(self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A shelf of the shop."""

    id: str
    name: str
    description: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Created:
    """A product was put on sale."""

    product: Product
    initial_stock: int

    @property
    def version(self) -> int:
        """Position among the product's events."""
        return self.product.version


@dataclass(frozen=True, slots=True)
class Updated:
    """Something of a product changed."""

    product: Product
    version: int


@dataclass(frozen=True, slots=True)
class PriceChanged:
    """A product's price changed."""

    product: Product
    old_price: Money
    version: int


@dataclass(frozen=True, slots=True)
class Archived:
    """A product was taken off sale."""

    product: Product
    version: int


Event = Created | Updated | PriceChanged | Archived


class NotOnSale(ValueError):
    """An archived product is not changed any more."""


def create(product_id: str, facts: Facts, *, initial_stock: int, now: datetime) -> Created:
    """Puts a product on sale."""
    product = Product(id=product_id, facts=facts, state=State.ACTIVE, version=1, create_time=now, update_time=now)
    return Created(product, initial_stock)


def change(product: Product, facts: Facts, *, now: datetime) -> tuple[Event, ...]:
    """Gives a product other facts. Nothing happens where they are the same.

    Raises:
        NotOnSale: The product is archived.
    """
    if product.state is State.ARCHIVED:
        raise NotOnSale(product.id)
    if facts == product.facts:
        return ()
    repriced = facts.price != product.facts.price
    changed = replace(product, facts=facts, version=product.version + 1 + repriced, update_time=now)
    updated = Updated(changed, product.version + 1)
    return (updated, PriceChanged(changed, product.facts.price, changed.version)) if repriced else (updated,)


def archive(product: Product, *, now: datetime) -> tuple[Event, ...]:
    """Takes a product off sale. Nothing happens where it is off already."""
    if product.state is State.ARCHIVED:
        return ()
    archived = replace(product, state=State.ARCHIVED, version=product.version + 1, update_time=now)
    return (Archived(archived, archived.version),)
