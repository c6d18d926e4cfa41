"""What can be done with the catalog: one method a use case."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mesh.data import Database, Transaction
from mesh.errors import Aborted, AlreadyExists, FailedPrecondition, FieldViolation, etag_stale, not_found
from mesh.ids import made_at, uuid7
from services.product import store
from services.product.domain import Category, Event, Facts, NotOnSale, Product, State, archive, change, create
from services.product.importing import Outcome, Result, Row, rejected, without_repeats
from services.product.listing import Filter, Listed, Listing, Sorting
from services.product.rules import identity
from services.product.store import Availability, CategoryPage
from services.product.wire import event_to_proto, product_to_proto
from zoco.product.v1 import product_pb2

STOCK_POLL: Final = 0.02
"""Seconds between two looks for a product's first stock."""

LOOKS: Final = 3
"""How often an import looks for products that another one was faster to make."""


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The use cases of the catalog."""

    database: Database
    listing: Listing = field(default_factory=Listing)
    stock_patience: float = 0.0
    """Seconds that `create` waits for the first stock."""

    async def list_products(self, which: Filter, sorting: Sorting, *, after: Sequence[Any] | None, size: int) -> Listed:
        """A page of the products on sale."""
        async with self.database.reading() as connection:
            return await self.listing.page(connection, which, sorting, after=after, size=size)

    async def get(self, product_id: str) -> Product:
        """One product, archived ones included.

        Raises:
            NotFound: There is none.
        """
        found = await self.find([product_id])
        if product_id not in found:
            raise not_found("product", product_id)
        return found[product_id]

    async def find(self, ids: Sequence[str]) -> dict[str, Product]:
        """Those products that exist, archived ones included, by id."""
        async with self.database.reading() as connection:
            return await store.find(connection, ids)

    async def create(self, facts: Facts, *, initial_stock: int) -> product_pb2.Product:
        """Puts a product on sale, and waits a moment until its first stock can be bought.

        Inventory makes the stock from the event. Whoever creates a product and orders it at once should not find it
        sold out; where inventory is away, the product is created all the same.

        Raises:
            NotFound: There is no such category.
        """

        async def work(tx: Transaction) -> product_pb2.Product:
            product_id = uuid7()
            created = create(product_id, facts, initial_stock=initial_stock, now=made_at(product_id))
            if not await store.insert(tx, [created.product]):
                raise not_found("category", facts.category_id)
            _publish(tx, [created])
            return product_to_proto(created.product)

        answer = await self.database.transact(work, keyed=True)
        if initial_stock:
            await self._until_in_stock(answer.id)
        return answer

    async def update(self, product_id: str, changes: Mapping[str, Any], *, etag: str) -> Product:
        """Gives a product other facts.

        Args:
            product_id: Which.
            changes: The new facts by the names of Facts.
            etag: The version that is changed; empty for whichever is current.

        Raises:
            NotFound: There is no such product or category.
            Aborted: ETAG_STALE.
            FailedPrecondition: STATE_CONFLICT: the product is archived.
        """

        async def work(tx: Transaction) -> Product:
            product = await _locked(tx, product_id)
            if etag and etag != product.etag:
                raise etag_stale(product.etag)
            try:
                events = change(product, replace(product.facts, **changes), now=tx.clock())
            except NotOnSale as archived:
                raise FailedPrecondition(
                    "STATE_CONFLICT", f"product {product_id} is archived", metadata={"state": State.ARCHIVED.value}
                ) from archived
            if not events:
                return product
            changed = events[-1].product
            if not await store.update(tx, [changed]):
                raise not_found("category", changed.facts.category_id)
            _publish(tx, events)
            return changed

        return await self.database.transact(work)

    async def archive(self, product_id: str, *, etag: str) -> Product:
        """Takes a product off sale; one that is off stays off.

        Raises:
            NotFound: There is no such product.
            Aborted: ETAG_STALE.
        """

        async def work(tx: Transaction) -> Product:
            product = await _locked(tx, product_id)
            events = archive(product, now=tx.clock())
            if not events:
                return product
            if etag and etag != product.etag:
                raise etag_stale(product.etag)
            archived = events[-1].product
            await store.archive(tx, archived)
            _publish(tx, events)
            return archived

        return await self.database.transact(work)

    async def import_rows(self, rows: Sequence[Row | Result]) -> list[Result]:
        """Loads rows of a catalog file, all good ones in one transaction.

        Args:
            rows: Those that keep the rules, and the results of those that do not.

        Returns:
            What became of each, in their order.

        Raises:
            Aborted: CONCURRENT_CHANGE: other imports kept making the same products.
        """
        checked = without_repeats(rows)

        async def work(tx: Transaction) -> list[Result]:
            results = {at: row for at, row in enumerate(checked) if isinstance(row, Result)}
            pending = {at: row for at, row in enumerate(checked) if isinstance(row, Row)}
            category_ids = await _category_ids(tx, list(pending.values()))
            for _ in range(LOOKS):
                if not pending:
                    return [results[at] for at in range(len(checked))]
                done = await _import(tx, {at: (row, category_ids[row.identity[0]]) for at, row in pending.items()})
                results |= done
                pending = {at: row for at, row in pending.items() if at not in done}
            raise Aborted("CONCURRENT_CHANGE", "other imports are making the same products; try again")

        return await self.database.transact(work)

    async def hear(self, tx: Transaction, news: Sequence[Availability]) -> None:
        """Takes over how many pieces can be bought. What is older than what is known changes nothing."""
        await store.hear(tx, news)

    async def list_categories(self, *, after: str, size: int) -> CategoryPage:
        """A page of categories by name."""
        async with self.database.reading() as connection:
            return await store.list_categories(connection, after=after, size=size)

    async def _until_in_stock(self, product_id: str) -> None:
        give_up = time.monotonic() + self.stock_patience
        while time.monotonic() < give_up and not (await self.get(product_id)).available:  # noqa: ASYNC110 - made elsewhere
            await asyncio.sleep(STOCK_POLL)

    async def create_category(self, name: str, description: str) -> Category:
        """Makes a category.

        Raises:
            AlreadyExists: NAME_TAKEN, without regard to case.
        """
        category = _new_category(name, description)

        async def work(tx: Transaction) -> Category:
            if not await store.insert_category(tx, category):
                raise AlreadyExists(
                    "NAME_TAKEN",
                    f"there is a category {name}",
                    metadata={"resource": "category"},
                    field_violations=[FieldViolation("category.name", "is taken")],
                )
            return category

        return await self.database.transact(work)


async def _import(tx: Transaction, rows: Mapping[int, tuple[Row, str]]) -> dict[int, Result]:
    """Creates and changes what rows say; rows whose product another import is just making are left out."""
    facts = {at: row.facts(category_id) for at, (row, category_id) in rows.items()}
    places = list(facts)
    found = await store.lock_named(tx, list(facts.values()))
    known = {places[index]: product for index, product in found.items()}
    results: dict[int, Result] = {}
    events: dict[int, tuple[Event, ...]] = {}
    for at, (row, _) in rows.items():
        product = known.get(at)
        if product is None:
            product_id = uuid7()
            now = made_at(product_id)
            events[at] = (create(product_id, facts[at], initial_stock=row.initial_stock, now=now),)
            results[at] = Result(row.line, Outcome.CREATED, product_id)
        elif product.state is State.ARCHIVED:
            results[at] = rejected(row.line, "name", "names a product that was taken off sale")
        elif happened := change(product, facts[at], now=tx.clock()):
            events[at] = happened
            results[at] = Result(row.line, Outcome.UPDATED, product.id)
        else:
            results[at] = Result(row.line, Outcome.UNCHANGED, product.id)
    for left in await _write(tx, results, events):
        del results[left], events[left]
    for happened in events.values():
        _publish(tx, happened)
    return results


async def _write(tx: Transaction, results: Mapping[int, Result], events: Mapping[int, tuple[Event, ...]]) -> list[int]:
    """Writes what happened, in a statement each for what is new and what changed; gives the rows that came too late."""
    products = {at: happened[-1].product for at, happened in events.items()}
    new = {at: product for at, product in products.items() if results[at].outcome is Outcome.CREATED}
    changed = [product for at, product in products.items() if at not in new]
    inserted = await store.insert(tx, list(new.values()), imported=True) if new else set()
    if changed:
        await store.update(tx, changed)
    return [at for at, product in new.items() if product.id not in inserted]


async def _category_ids(tx: Transaction, rows: Sequence[Row]) -> dict[str, str]:
    named = {identity(row.category): row.category for row in rows}
    return await store.ensure_categories(tx, [_new_category(name, "") for name in named.values()]) if named else {}


async def _locked(tx: Transaction, product_id: str) -> Product:
    product = await store.lock(tx, product_id)
    if product is None:
        raise not_found("product", product_id)
    return product


def _new_category(name: str, description: str) -> Category:
    category_id = uuid7()
    return Category(id=category_id, name=name, description=description, create_time=made_at(category_id))


def _publish(tx: Transaction, events: Sequence[Event]) -> None:
    for event in events:
        tx.publish(event_to_proto(event), aggregate_id=event.product.id, version=event.version)
