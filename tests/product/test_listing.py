"""Finding products: words, filters, orders and pages."""

import random
from typing import Any

import pytest
import pytest_asyncio

from mesh.errors import InvalidArgument
from mesh.ids import uuid7
from mesh.paging import next_token
from services.product import listing
from services.product.listing import Filter, Listing, Order, Sorting
from tests.product.conftest import Shop, euros, outcomes, refused, row
from zoco.product.v1 import product_service_pb2 as service

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lamps(shop: Shop) -> str:
    """A category of five lamps, for tests that only read."""
    return await five_lamps(shop)


async def five_lamps(shop: Shop) -> str:
    """A category of five lamps; its id."""
    category = await shop.category()
    for name, cents in (("Delta", 300), ("alpha", 500), ("Écru", 100), ("charlie", 300), ("Bravo", 200)):
        await shop.create(category_id=category.id, name=name, price=euros(cents))
    return category.id


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("", ["Bravo", "charlie", "Écru", "alpha", "Delta"]),
        ("create_time", ["Delta", "alpha", "Écru", "charlie", "Bravo"]),
        ("create_time desc", ["Bravo", "charlie", "Écru", "alpha", "Delta"]),
        ("name", ["alpha", "Bravo", "charlie", "Delta", "Écru"]),
        ("name asc", ["alpha", "Bravo", "charlie", "Delta", "Écru"]),
        ("name desc", ["Écru", "Delta", "charlie", "Bravo", "alpha"]),
        ("price", ["Écru", "Bravo", "Delta", "charlie", "alpha"]),
        ("price desc", ["alpha", "charlie", "Delta", "Bravo", "Écru"]),
        ("  price   desc ", ["alpha", "charlie", "Delta", "Bravo", "Écru"]),
    ],
)
@pytest.mark.parametrize("page_size", [1, 2, 5, 100])
async def test_each_order_is_kept_across_pages(
    shop: Shop, lamps: str, order_by: str, expected: list[str], page_size: int
) -> None:
    assert await shop.names(category_id=lamps, order_by=order_by, page_size=page_size) == expected


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"min_price": "3"}, ["Delta", "charlie", "alpha"]),
        ({"max_price": "2.00"}, ["Écru", "Bravo"]),
        ({"min_price": "1.01", "max_price": "3"}, ["Bravo", "Delta", "charlie"]),
        ({"min_price": "9"}, []),
    ],
)
async def test_prices_are_filtered_with_both_bounds_included(
    shop: Shop, lamps: str, bounds: dict[str, str], expected: list[str]
) -> None:
    assert await shop.names(category_id=lamps, order_by="price", **bounds) == expected


async def test_each_page_tells_how_many_there_are_in_all(shop: Shop, lamps: str) -> None:
    page = await shop.anyone.ListProducts(
        service.ListProductsRequest(category_id=lamps, min_price="2", order_by="price", page_size=3)
    )
    assert (len(page.products), page.total_size) == (3, 4)
    rest = await shop.anyone.ListProducts(
        service.ListProductsRequest(
            category_id=lamps, min_price="2", order_by="price", page_size=3, page_token=page.next_page_token
        )
    )
    assert (len(rest.products), rest.total_size, rest.next_page_token) == (1, 4, "")


async def test_a_page_goes_on_where_it_ended_though_products_come_and_go(shop: Shop) -> None:
    lamps = await five_lamps(shop)
    request = service.ListProductsRequest(category_id=lamps, order_by="name", page_size=2)
    page = await shop.anyone.ListProducts(request)
    await shop.archive(page.products[0].id)
    await shop.create(category_id=lamps, name="aardvark")
    request.page_token = page.next_page_token
    assert [product.name for product in (await shop.anyone.ListProducts(request)).products] == ["charlie", "Delta"]


@pytest.mark.parametrize(
    "change",
    [{"order_by": "price"}, {"min_price": "1"}, {"query": "lamp"}, {"page_token": "rubbish"}, {"page_token": "W10"}],
)
async def test_a_page_token_belongs_to_its_query(shop: Shop, lamps: str, change: dict[str, str]) -> None:
    page = await shop.anyone.ListProducts(service.ListProductsRequest(category_id=lamps, order_by="name", page_size=2))
    request = {"category_id": lamps, "order_by": "name", "page_token": page.next_page_token, **change}
    error = await refused(shop.anyone.ListProducts(service.ListProductsRequest(**request)))
    assert error.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("key", [["a\0b", uuid7()], ["\ud800", uuid7()], ["a", "b"], ["a"], [1, uuid7()]])
async def test_a_made_up_page_token_is_refused(shop: Shop, key: list[str | int]) -> None:
    request = service.ListProductsRequest(order_by="name")
    request.page_token = next_token(request, key)
    assert (await refused(shop.anyone.ListProducts(request))).reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    ("request_fields", "violated"),
    [
        ({"order_by": "colour"}, "order_by"),
        ({"order_by": "price; DROP TABLE product"}, "order_by"),
        ({"min_price": "cheap"}, "min_price"),
        ({"min_price": "1.005"}, "min_price"),
        ({"min_price": "2", "max_price": "1"}, "max_price"),
        ({"query": "a\0b"}, "query"),
        ({"page_size": -1}, "page_size"),
        ({"category_id": "lamps"}, "category_id"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(
    shop: Shop, request_fields: dict[str, Any], violated: str
) -> None:
    error = await refused(shop.anyone.ListProducts(service.ListProductsRequest(**request_fields)))
    assert isinstance(error, InvalidArgument)
    assert [each.field for each in error.field_violations] == [violated]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pantry(shop: Shop) -> str:
    """A category of things to eat; its id."""
    category = await shop.category()
    for name, description, attributes in (
        ("Olive oil", "Cold pressed, from Jaén", {"origin": "Andalucía"}),
        ("Oil spray", "Olives in a can", {}),
        ("Jamón ibérico", "Cured ham of acorn-fed pigs", {"origin": "Huelva"}),
        ("Gift basket", "With olive oil and ham", {"size": "large"}),
        ("The Who", "A record", {}),
    ):
        await shop.create(category_id=category.id, name=name, description=description, attributes=attributes)
    return category.id


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("olive oil", {"Olive oil", "Oil spray", "Gift basket"}),
        ('"olive oil"', {"Olive oil", "Gift basket"}),
        ('"spray olives"', set()),
        ('"the who"', {"The Who"}),
        ("olives -spray", {"Olive oil", "Gift basket"}),
        ("jamon", {"Jamón ibérico"}),
        ("JAMÓN", {"Jamón ibérico"}),
        ("jamo\u0301n", {"Jamón ibérico"}),
        ("andalucia", {"Olive oil"}),
        ("Andalucía OR Huelva", {"Olive oil", "Jamón ibérico"}),
        ("pig", {"Jamón ibérico"}),
        ("the who", {"The Who"}),
        ("nothing like it", set()),
        ("!!! &&& ((", set()),
        ("' OR 1=1 --", set()),
    ],
)
async def test_words_are_found_in_names_descriptions_and_attributes(
    shop: Shop, pantry: str, query: str, expected: set[str]
) -> None:
    assert set(await shop.names(category_id=pantry, query=query)) == expected


async def test_the_best_match_comes_first_across_pages(shop: Shop, pantry: str) -> None:
    for page_size in (1, 2, 10):
        names = await shop.names(category_id=pantry, query="olive oil", page_size=page_size)
        assert names[0] == "Olive oil"
        assert sorted(names) == ["Gift basket", "Oil spray", "Olive oil"]


async def test_matches_may_be_ordered_otherwise(shop: Shop, pantry: str) -> None:
    names = await shop.names(category_id=pantry, query="olive oil", order_by="name", page_size=1)
    assert names == ["Gift basket", "Oil spray", "Olive oil"]


async def test_a_changed_product_is_found_by_its_new_words_only(shop: Shop) -> None:
    product = await shop.create(name="The Who", description="A record")
    await shop.update(product.id, description="A poster")
    assert await shop.names(category_id=product.category_id, query="record") == []
    assert await shop.names(category_id=product.category_id, query="posters") == ["The Who"]


async def test_pages_of_many_alike_products_lose_and_repeat_none(shop: Shop, rng: random.Random) -> None:
    category = (await shop.category()).name
    rows = [
        row(f"Lamp {number:03}", category, line=number, cents=rng.choice((100, 200)), description="bright lamp")
        for number in range(120)
    ]
    assert set(outcomes(await shop.load(*rows))) == {"CREATED"}
    category_id = next(
        product.category_id
        for product in (await shop.anyone.ListProducts(service.ListProductsRequest())).products
        if product.name.startswith("Lamp")
    )
    for order in ("", "price", "price desc", "name desc", "create_time"):
        for query in ("", "bright"):
            names = await shop.names(category_id=category_id, order_by=order, query=query, page_size=17)
            assert sorted(names) == [each.name for each in rows]


async def test_large_totals_are_remembered_for_a_moment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    lamps = await five_lamps(shop)
    monkeypatch.setattr(listing, "EXACT", 2)
    now = 0.0
    remembering = Listing(clock=lambda: now)
    by_name = Sorting(Order.NAME, descending=False)

    async def total(which: Filter) -> int:
        async with shop.running.database.reading() as connection:
            return (await remembering.page(connection, which, by_name, after=None, size=1)).total

    assert await total(Filter(category_id=lamps)) == 5
    await shop.create(category_id=lamps, name="Foxtrot")
    assert await total(Filter(category_id=lamps)) == 5
    now += listing.REMEMBERED_SECONDS
    assert await total(Filter(category_id=lamps)) == 6
    assert await total(Filter(category_id=lamps, max_price=100)) == 2
    assert await total(Filter(query="alpha or bravo or charlie or delta")) >= 3
