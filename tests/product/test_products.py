"""Making, changing, archiving and finding single products."""

import asyncio
import random
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from mesh.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from mesh.ids import uuid7
from mesh.wire import timestamp_from_proto
from tests.fixtures.events import Announced
from tests.fixtures.servers import until
from tests.product.conftest import Shop, euros, refused
from zoco.inventory.v1 import inventory_events_pb2 as inventory
from zoco.inventory.v1 import stock_pb2
from zoco.product.v1 import product_events_pb2 as events
from zoco.product.v1 import product_pb2
from zoco.product.v1 import product_service_pb2 as service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_product_is_read_as_it_was_made(shop: Shop) -> None:
    category = await shop.category()
    made = await shop.create(
        name=" Table  lamp ",
        description="Bright",
        price=euros(1999),
        category_id=category.id.upper(),
        image_url="https://images.zoco.example/lamp.jpg",
        attributes={"colour": "red"},
        initial_stock=7,
    )
    assert (made.name, made.description, made.price, made.category_id) == (
        "Table lamp",
        "Bright",
        euros(1999),
        category.id,
    )
    assert (made.image_url, dict(made.attributes)) == ("https://images.zoco.example/lamp.jpg", {"colour": "red"})
    assert (made.state, made.available_quantity, made.etag) == (product_pb2.Product.ACTIVE, 0, "1")
    assert await shop.get(made.id.upper()) == made


async def test_a_product_is_announced_with_its_first_stock(shop: Shop) -> None:
    made = await shop.create(initial_stock=7)
    [(version, event)] = await shop.events(made.id)
    assert isinstance(event, events.ProductCreated)
    assert (version, event.product, event.initial_stock) == (1, made, 7)


async def test_what_the_server_says_cannot_be_said_by_the_client(shop: Shop) -> None:
    made = await shop.create(id=uuid7(), state=product_pb2.Product.ARCHIVED, available_quantity=99, etag="42")
    assert (made.state, made.available_quantity, made.etag) == (product_pb2.Product.ACTIVE, 0, "1")


async def test_a_product_made_twice_under_one_key_is_one(shop: Shop) -> None:
    category, key = await shop.category(), uuid7()
    made = [await shop.create(category_id=category.id, name="Lamp", key=key) for _ in range(3)]
    assert made[0] == made[1] == made[2]
    assert await shop.names(category_id=category.id) == ["Lamp"]
    error = await refused(shop.create(category_id=category.id, name="Chair", key=key))
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"name": "  "}, "product.name"),
        ({"name": "a\0b"}, "product.name"),
        ({"description": "a\0b"}, "product.description"),
        ({"price": None}, "product.price"),
        ({"price": euros(0)}, "product.price"),
        ({"price": euros(-100)}, "product.price"),
        ({"price": product_pb2.Product(price={"currency_code": "EUR", "nanos": 1}).price}, "product.price"),
        ({"price": euros(100, "euro")}, "product.price.currency_code"),
        ({"category_id": ""}, "product.category_id"),
        ({"category_id": "lamps"}, "product.category_id"),
        ({"image_url": "http://images.zoco.example/lamp.jpg"}, "product.image_url"),
        ({"attributes": {"colour": "r\0d"}}, "product.attributes"),
    ],
)
async def test_a_field_that_breaks_a_rule_is_named(shop: Shop, fields: dict[str, Any], violated: str) -> None:
    error = await refused(shop.create(**fields))
    assert isinstance(error, InvalidArgument)
    assert error.reason == "INVALID_FIELD"
    assert [each.field for each in error.field_violations] == [violated]


async def test_all_fields_that_break_a_rule_are_named_at_once(shop: Shop) -> None:
    error = await refused(shop.create(name="", price=euros(0), image_url="x"))
    assert {each.field for each in error.field_violations} == {"product.name", "product.price", "product.image_url"}


async def test_the_shop_trades_in_one_currency(shop: Shop) -> None:
    error = await refused(shop.create(price=euros(100, "USD")))
    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.metadata) == ("CURRENCY_MISMATCH", {"currency": "USD"})
    assert [each.field for each in error.field_violations] == ["product.price.currency_code"]


async def test_a_product_needs_a_category_that_exists(shop: Shop) -> None:
    category_id = uuid7()
    made = await shop.create()
    for call in (shop.create(category_id=category_id), shop.update(made.id, category_id=category_id)):
        error = await refused(call)
        assert isinstance(error, NotFound)
        assert error.metadata == {"resource": "category", "id": category_id}
    assert (await shop.get(made.id)).etag == "1"


async def test_only_administrators_write(shop: Shop) -> None:
    for stub, kind in ((shop.anyone, Unauthenticated), (shop.customer, PermissionDenied)):
        for call in (
            stub.ArchiveProduct(service.ArchiveProductRequest(id=uuid7())),
            stub.ImportProducts(service.ImportProductsRequest(rows=[service.ImportRow()])),
        ):
            assert isinstance(await refused(call), kind)


async def test_an_unknown_product_is_not_found(shop: Shop) -> None:
    for call in (shop.get(uuid7()), shop.update(uuid7(), name="x"), shop.archive(uuid7()), shop.update("x", name="x")):
        assert isinstance(await refused(call), NotFound)


async def test_several_products_come_in_the_order_asked_for_and_missing_ones_are_named(shop: Shop) -> None:
    first, second, missing = await shop.create(), await shop.create(), uuid7()
    await shop.archive(first.id)
    request = service.BatchGetProductsRequest(ids=[second.id, missing, first.id, second.id])
    response = await shop.anyone.BatchGetProducts(request)
    assert [product.id for product in response.products] == [second.id, first.id]
    assert list(response.missing_ids) == [missing]


async def test_an_update_changes_what_its_mask_names(shop: Shop) -> None:
    made = await shop.create(name="Lamp", description="Bright", attributes={"colour": "red"})
    changed = await shop.update(made.id, "description", "attributes", name="Ignored", description="Dim")
    assert (changed.name, changed.description, dict(changed.attributes)) == ("Lamp", "Dim", {})
    assert (changed.etag, changed.price) == ("2", made.price)
    assert timestamp_from_proto(changed.update_time) > timestamp_from_proto(changed.create_time)
    [_, (version, event)] = await shop.events(made.id)
    assert isinstance(event, events.ProductUpdated)
    assert (version, event.product) == (2, changed)


async def test_an_update_without_a_mask_changes_what_is_set(shop: Shop) -> None:
    made = await shop.create(name="Lamp", description="Bright")
    changed = await shop.update(made.id, name="Lantern")
    assert (changed.name, changed.description) == ("Lantern", "Bright")


async def test_a_mask_names_only_what_can_be_changed(shop: Shop) -> None:
    made = await shop.create()
    error = await refused(shop.update(made.id, "colour", name="x"))
    assert [each.field for each in error.field_violations] == ["update_mask"]


async def test_what_only_goes_out_counts_for_nothing_in_a_mask(shop: Shop) -> None:
    made = await shop.create()
    changed = await shop.update(
        made.id, "name", "state", "create_time", "etag", name="Another", state=product_pb2.Product.ARCHIVED
    )
    assert (changed.name, changed.state, changed.create_time) == ("Another", made.state, made.create_time)


async def test_an_update_keeps_the_rules(shop: Shop) -> None:
    made = await shop.create()
    error = await refused(shop.update(made.id, "price"))
    assert [each.field for each in error.field_violations] == ["product.price"]
    assert (await refused(shop.update(made.id, price=euros(1, "USD")))).reason == "CURRENCY_MISMATCH"


async def test_another_price_is_announced(shop: Shop) -> None:
    made = await shop.create(price=euros(1000))
    changed = await shop.update(made.id, price=euros(900))
    told = await shop.events(made.id)
    assert [version for version, _ in told] == [1, 2, 3]
    repriced = told[2][1]
    assert isinstance(repriced, events.ProductPriceChanged)
    assert (repriced.product_id, repriced.old_price, repriced.new_price) == (made.id, euros(1000), euros(900))
    assert changed.etag == "3"


async def test_an_update_that_changes_nothing_is_no_version(shop: Shop) -> None:
    made = await shop.create(name="Lamp")
    assert await shop.update(made.id, name="Lamp") == made
    assert len(await shop.events(made.id)) == 1


async def test_an_update_of_an_old_version_is_refused(shop: Shop) -> None:
    made = await shop.create()
    await shop.update(made.id, name="Lantern", etag=made.etag)
    error = await refused(shop.update(made.id, name="Candle", etag=made.etag))
    assert isinstance(error, Aborted)
    assert (error.reason, error.metadata) == ("ETAG_STALE", {"etag": "2"})


async def test_of_many_updates_of_one_version_one_wins(shop: Shop) -> None:
    made = await shop.create()
    updates = (shop.update(made.id, name=f"Lamp {number}", etag=made.etag) for number in range(10))
    answers = await asyncio.gather(*updates, return_exceptions=True)
    assert sum(isinstance(answer, product_pb2.Product) for answer in answers) == 1
    assert (await shop.get(made.id)).etag == "2"


async def test_an_archived_product_is_kept_but_not_listed_or_changed(shop: Shop) -> None:
    category = await shop.category()
    made = await shop.create(category_id=category.id)
    archived = await shop.archive(made.id, etag=made.etag)
    assert (archived.state, archived.etag) == (product_pb2.Product.ARCHIVED, "2")
    assert await shop.archive(made.id, etag=made.etag) == archived
    assert await shop.get(made.id) == archived
    assert await shop.names(category_id=category.id) == []
    error = await refused(shop.update(made.id, name="x"))
    assert isinstance(error, FailedPrecondition)
    assert (error.reason, error.metadata) == ("STATE_CONFLICT", {"state": "ARCHIVED"})
    told = await shop.events(made.id)
    assert [(version, event.DESCRIPTOR.name) for version, event in told] == [
        (1, "ProductCreated"),
        (2, "ProductArchived"),
    ]


async def test_a_stale_archive_is_refused(shop: Shop) -> None:
    made = await shop.create()
    await shop.update(made.id, name="Lantern")
    assert (await refused(shop.archive(made.id, etag=made.etag))).reason == "ETAG_STALE"


async def test_stock_is_told_by_inventory_in_any_order_and_is_no_new_version(shop: Shop, rng: random.Random) -> None:
    made = await shop.create()
    levels = {1: 10, 2: 8, 3: 5, 4: 5, 5: 7}
    kinds = (inventory.StockAdjusted, inventory.StockReserved, inventory.StockCommitted, inventory.StockReleased)
    told = [
        Announced(rng.choice(kinds)(stock=stock_pb2.Stock(product_id=made.id, available=available)), made.id, version)
        for version, available in levels.items()
    ]
    await shop.inventory.publish([*rng.sample(told, len(told)), told[0]])

    async def arrived() -> bool:
        return (await shop.get(made.id)).available_quantity == 7

    await until(arrived)
    late = await shop.create()
    await shop.inventory.publish([told[1], _adjusted(late.id, 3)])

    async def late_arrived() -> bool:
        return (await shop.get(late.id)).available_quantity == 3

    await until(late_arrived)
    product = await shop.get(made.id)
    assert (product.available_quantity, product.etag, product.update_time) == (7, made.etag, made.update_time)
    assert (await shop.update(made.id, name="Lantern")).available_quantity == 7


async def test_stock_may_be_told_before_the_product_is_known(shop: Shop) -> None:
    """Inventory hears of a product by its event; a catalog restored from a backup may hear of its stock first."""
    stranger, made = uuid7(), await shop.create()
    await shop.inventory.publish([_adjusted(stranger, 4), _adjusted(made.id, 4)])

    async def arrived() -> bool:
        return (await shop.get(made.id)).available_quantity == 4

    await until(arrived)
    assert isinstance(await refused(shop.get(stranger)), NotFound)


async def test_categories_are_listed_by_name(shop: Shop) -> None:
    prefix = uuid7()
    made = [await shop.category(f"{prefix} {name}") for name in ("b", "A", "c")]
    request = service.ListCategoriesRequest(page_size=1)
    seen: list[product_pb2.Category] = []
    while True:
        page = await shop.anyone.ListCategories(request)
        assert page.total_size >= 3
        seen += page.categories
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    mine = [category for category in seen if category.name.startswith(prefix)]
    assert mine == [made[1], made[0], made[2]]


async def test_a_category_name_is_taken_without_regard_to_case_and_space(shop: Shop) -> None:
    made = await shop.category(f"Lamps {uuid7()}")
    error = await refused(shop.category(made.name.upper().replace(" ", "  ")))
    assert (error.reason, error.metadata) == ("NAME_TAKEN", {"resource": "category"})


async def test_a_category_has_a_plain_name(shop: Shop) -> None:
    for name in (" ", "a\0b", "a" * 101):
        error = await refused(shop.category(name))
        assert [each.field for each in error.field_violations] == ["category.name"]


async def test_a_mask_of_everything_replaces_everything(shop: Shop) -> None:
    made = await shop.create(description="Bright", attributes={"colour": "red"})
    product = product_pb2.Product(
        id=made.id, name="Lantern", price=euros(5), category_id=made.category_id, description=""
    )
    request = service.UpdateProductRequest(product=product, update_mask=FieldMask(paths=["*"]))
    changed = await shop.admin.UpdateProduct(request)
    assert (changed.name, changed.description, dict(changed.attributes)) == ("Lantern", "", {})


def _adjusted(product_id: str, available: int) -> Announced:
    return Announced(
        inventory.StockAdjusted(stock=stock_pb2.Stock(product_id=product_id, available=available)), product_id, 1
    )
