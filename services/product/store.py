"""What the catalog asks its database, in the words of the domain. Lists have a file of their own: listing.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data import Transaction
from mesh.money import Money
from services.product import statements
from services.product.domain import Category, Facts, Product, State
from services.product.rules import identity, sort_key

IMPORTED: Final = str(UUID(int=0))
"""The `twin` of a product that an import made under its name: there can be only one."""


@dataclass(frozen=True, slots=True)
class Availability:
    """How many pieces of a product can be bought, and since which version of its stock."""

    product_id: str
    available: int
    version: int


@dataclass(frozen=True, slots=True)
class CategoryPage:
    """Categories by name."""

    categories: tuple[Category, ...]
    total: int
    last_key: str
    """What the next page begins behind."""


async def find(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Product]:
    """Those products that exist, archived ones included, by id."""
    rows = await connection.execute(statements.FIND, {"ids": list(ids)})
    return {row["id"]: product_of(row) for row in rows.mappings()}


async def lock(tx: Transaction, product_id: str) -> Product | None:
    """A product, which nobody else changes until the transaction ends."""
    row = (await tx.execute(statements.LOCK, {"id": product_id})).mappings().first()
    return product_of(row) if row else None


async def lock_named(tx: Transaction, wanted: Sequence[Facts]) -> dict[int, Product]:
    """The products that imported rows mean by category and name, by the row's index; locked like `lock`."""
    parameters = {
        "category_ids": [facts.category_id for facts in wanted],
        "name_keys": [identity(facts.name) for facts in wanted],
    }
    rows = await tx.execute(statements.LOCK_NAMED, parameters)
    return {row["position"] - 1: product_of(row) for row in rows.mappings()}


async def insert(tx: Transaction, products: Sequence[Product], *, imported: bool = False) -> set[str]:
    """Inserts new products and returns the ids of those that were inserted.

    Left out are those whose category does not exist, and of imported ones those that another import was faster to make.
    """
    columns = [
        {
            **_columns(product),
            "twin": IMPORTED if imported else product.id,
            "create_time": product.create_time.isoformat(),
        }
        for product in products
    ]
    rows = await tx.execute(statements.INSERT, {"products": json.dumps(columns, ensure_ascii=False)})
    return set(rows.scalars())


async def update(tx: Transaction, products: Sequence[Product]) -> set[str]:
    """Writes changed products that are locked. Returns the ids of those written: the others' category is unknown."""
    columns = [
        {**_columns(product), "version": product.version, "update_time": product.update_time.isoformat()}
        for product in products
    ]
    rows = await tx.execute(statements.UPDATE, {"products": json.dumps(columns, ensure_ascii=False)})
    return set(rows.scalars())


async def archive(tx: Transaction, product: Product) -> None:
    """Writes that a locked product is off sale."""
    parameters = {"id": product.id, "version": product.version, "now": product.update_time}
    await tx.execute(statements.ARCHIVE, parameters)


async def hear(tx: Transaction, news: Sequence[Availability]) -> None:
    """Takes over what inventory says, product by product, unless something newer is known."""
    newest: dict[str, Availability] = {}
    for each in news:
        known = newest.get(each.product_id)
        if known is None or known.version < each.version:
            newest[each.product_id] = each
    parameters = {
        "product_ids": list(newest),
        "available": [each.available for each in newest.values()],
        "versions": [each.version for each in newest.values()],
    }
    await tx.execute(statements.HEAR, parameters)


async def list_categories(connection: AsyncConnection, *, after: str, size: int) -> CategoryPage:
    """The first categories whose key is behind `after`; one more than `size` tells that there are more."""
    rows = (await connection.execute(statements.CATEGORIES, {"after": after, "size": size + 1})).mappings().all()
    shown = rows[:size]
    return CategoryPage(
        categories=tuple(_category(row) for row in shown),
        total=rows[0]["total"] if rows else 0,
        last_key=shown[-1]["name_key"] if len(rows) > size else "",
    )


async def insert_category(tx: Transaction, category: Category) -> bool:
    """Inserts a category. False where its name is taken."""
    return bool(await _insert_categories(tx, [category]))


async def ensure_categories(tx: Transaction, categories: Sequence[Category]) -> dict[str, str]:
    """The ids of categories by the identity of their names; those that are missing are made."""
    wanted = {identity(category.name): category for category in categories}
    known = await _category_ids(tx, list(wanted))
    missing = [category for key, category in wanted.items() if key not in known]
    if missing:
        known |= await _insert_categories(tx, missing)
    if len(known) < len(wanted):  # somebody else made them in between, and has committed by now
        known |= await _category_ids(tx, [key for key in wanted if key not in known])
    return known


def product_of(row: RowMapping | Mapping[str, Any]) -> Product:
    """A product out of a row with the columns of `statements.PRODUCT`."""
    return Product(
        id=row["id"],
        facts=Facts(
            name=row["name"],
            description=row["description"],
            price=Money(row["currency"], row["price"]),
            category_id=row["category_id"],
            image_url=row["image_url"],
            attributes=row["attributes"],
        ),
        state=State(row["state"]),
        version=row["version"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        available=row["available"],
    )


async def _category_ids(tx: Transaction, name_keys: list[str]) -> dict[str, str]:
    rows = await tx.execute(statements.CATEGORIES_NAMED, {"name_keys": name_keys})
    return {row["name_key"]: row["id"] for row in rows.mappings()}


async def _insert_categories(tx: Transaction, categories: Sequence[Category]) -> dict[str, str]:
    parameters = {
        "ids": [category.id for category in categories],
        "names": [category.name for category in categories],
        "name_keys": [identity(category.name) for category in categories],
        "descriptions": [category.description for category in categories],
        "times": [category.create_time for category in categories],
    }
    rows = await tx.execute(statements.INSERT_CATEGORIES, parameters)
    return {row["name_key"]: row["id"] for row in rows.mappings()}


def _columns(product: Product) -> dict[str, Any]:
    facts = product.facts
    return {
        "id": product.id,
        "category_id": facts.category_id,
        "name": facts.name,
        "name_key": identity(facts.name),
        "sort_key": sort_key(facts.name),
        "description": facts.description,
        "price": facts.price.minor,
        "currency": facts.price.currency,
        "image_url": facts.image_url,
        "attributes": dict(facts.attributes),
    }


def _category(row: RowMapping) -> Category:
    return Category(id=row["id"], name=row["name"], description=row["description"], create_time=row["create_time"])
