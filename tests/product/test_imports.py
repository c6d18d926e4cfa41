"""Loading a catalog file, row by row and all at once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from mesh.ids import uuid7
from tests.product.conftest import Shop, euros, outcomes, refused, row
from zoco.product.v1 import product_events_pb2 as events
from zoco.product.v1 import product_service_pb2 as service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_second_run_of_the_same_rows_changes_nothing(shop: Shop) -> None:
    category = f"Shelf {uuid7()}"
    rows = [row(f"Lamp {number}", category, line=number + 2, initial_stock=number) for number in range(50)]
    first = await shop.load(*rows)
    assert outcomes(first) == ["CREATED"] * 50
    assert [result.line for result in first] == [each.line for each in rows]
    again = await shop.load(*rows)
    assert outcomes(again) == ["UNCHANGED"] * 50
    assert [result.product_id for result in again] == [result.product_id for result in first]
    [(version, event)] = await shop.events(first[7].product_id)
    assert isinstance(event, events.ProductCreated)
    assert (version, event.initial_stock, event.product.name) == (1, 7, "Lamp 7")


async def test_a_row_that_says_something_new_updates_its_product(shop: Shop) -> None:
    category = f"Shelf {uuid7()}"
    [made] = await shop.load(row("Table lamp", category, cents=500, initial_stock=3))
    [changed] = await shop.load(
        row("TABLE  lamp ", category.upper(), cents=400, description="Bright", attributes={"a": "b"}, initial_stock=9)
    )
    assert (outcomes([changed]), changed.product_id) == (["UPDATED"], made.product_id)
    product = await shop.get(made.product_id)
    assert (product.name, product.price, product.description) == ("TABLE lamp", euros(400), "Bright")
    assert [event.DESCRIPTOR.name for _, event in await shop.events(made.product_id)] == [
        "ProductCreated",
        "ProductUpdated",
        "ProductPriceChanged",
    ]


async def test_good_rows_are_kept_and_bad_ones_named_by_line_field_and_reason(shop: Shop) -> None:
    category = f"Shelf {uuid7()}"
    bad: list[tuple[dict[str, Any], str, str]] = [
        ({"name": ""}, "name", "is missing"),
        ({"name": "x" * 201}, "name", "is too long"),
        ({"name": "a\0b"}, "name", "holds a NUL character"),
        ({"description": "a\0b"}, "description", "holds a NUL character"),
        ({"category": ""}, "category", "is missing"),
        ({"category": "x" * 101}, "category", "is too long"),
        ({"price": euros(-1)}, "price", "is negative"),
        ({"price": euros(0)}, "price", "is zero"),
        ({"price": euros(1, "USD")}, "currency", "is not the shop's currency"),
        ({"price": euros(1, "XX")}, "currency", "is not an ISO 4217 currency code"),
        ({"initial_stock": -1}, "stock", "is negative"),
        ({"initial_stock": 1_000_000_001}, "stock", "is too large"),
        ({"image_url": "ftp://x"}, "image_url", "is not an https address"),
        ({"attributes": {"a": "\0"}}, "attributes", "holds a NUL character"),
        ({"name": "LAMP 0"}, "name", "repeats line 0"),
    ]
    rows = [row(f"Lamp {number}", category, line=number) for number in range(3)]
    for number, (fields, _, _) in enumerate(bad, start=3):
        broken = {"line": number, "name": f"Bad {number}", "category": category, "price": euros(1), **fields}
        rows.append(service.ImportRow(**broken))
    results = await shop.load(*rows)
    assert outcomes(results[:3]) == ["CREATED"] * 3
    assert outcomes(results[3:]) == ["REJECTED"] * len(bad)
    assert [(each.line, each.field, each.reason) for each in results[3:]] == [
        (number, field, reason) for number, (_, field, reason) in enumerate(bad, start=3)
    ]
    assert {each.product_id for each in results[3:]} == {""}


async def test_rows_that_are_all_bad_make_nothing(shop: Shop) -> None:
    category = f"Shelf {uuid7()}"
    assert outcomes(await shop.load(row("", category))) == ["REJECTED"]
    page = await shop.anyone.ListCategories(service.ListCategoriesRequest(page_size=100))
    assert category not in [each.name for each in page.categories]


async def test_a_row_without_a_price_says_so(shop: Shop) -> None:
    [result] = await shop.load(service.ImportRow(name="Lamp", category="Lamps"))
    assert (result.field, result.reason) == ("price", "is missing")


async def test_imports_of_the_same_rows_at_once_make_each_product_once(shop: Shop) -> None:
    categories = [f"Shelf {number} {uuid7()}" for number in range(3)]
    rows = [row(f"Lamp {number}", categories[number % 3], line=number) for number in range(200)]
    loads = await asyncio.gather(*(shop.load(*rows[shift:], *rows[:shift]) for shift in (0, 50, 100, 150)))
    made = {result.product_id for results in loads for result in results}
    assert len(made) == 200
    assert sum(outcomes(results).count("CREATED") for results in loads) == 200
    assert sum(outcomes(results).count("UNCHANGED") for results in loads) == 600
    async with shop.running.database.reading() as connection:
        told = "SELECT count(*) FROM outbox WHERE aggregate_id = ANY(:ids)"
        assert (await connection.execute(text(told), {"ids": list(made)})).scalar_one() == 200


async def test_a_product_made_by_hand_is_found_by_its_name(shop: Shop) -> None:
    category = await shop.category()
    made = await shop.create(name="Lamp", category_id=category.id)
    [result] = await shop.load(row("lamp", category.name, cents=777))
    assert (outcomes([result]), result.product_id) == (["UPDATED"], made.id)


async def test_of_namesakes_the_oldest_on_sale_is_meant(shop: Shop) -> None:
    category = await shop.category()
    made = [await shop.create(name="Lamp", category_id=category.id) for _ in range(3)]
    await shop.archive(made[0].id)
    [result] = await shop.load(row("Lamp", category.name, cents=777))
    assert result.product_id == made[1].id


async def test_a_renamed_product_makes_room_for_its_old_name(shop: Shop) -> None:
    category = f"Shelf {uuid7()}"
    [made] = await shop.load(row("Lamp", category))
    await shop.update(made.product_id, name="Lantern")
    [fresh] = await shop.load(row("Lamp", category))
    assert outcomes([fresh]) == ["CREATED"]
    [same] = await shop.load(row("Lantern", category))
    assert (outcomes([same]), same.product_id) == (["UNCHANGED"], made.product_id)
    await shop.update(made.product_id, name="lamp")
    assert (await shop.get(made.product_id)).name == "lamp"


async def test_what_was_taken_off_sale_does_not_come_back_by_an_import(shop: Shop) -> None:
    category = f"Shelf {uuid7()}"
    [made] = await shop.load(row("Lamp", category))
    await shop.archive(made.product_id)
    [result] = await shop.load(row("Lamp", category))
    assert (outcomes([result]), result.field) == (["REJECTED"], "name")


async def test_a_file_of_a_thousand_rows_a_call_is_the_most(shop: Shop) -> None:
    category = f"Shelf {uuid7()}"
    rows = [row(f"Lamp {number}", category, line=number) for number in range(1001)]
    assert (await refused(shop.load(*rows))).reason == "INVALID_FIELD"
    assert outcomes(await shop.load(*rows[:1000])) == ["CREATED"] * 1000
