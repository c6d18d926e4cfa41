"""The rules of the catalog that need no database."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mesh.money import Money
from services.product import rules
from services.product.domain import (
    Archived,
    Facts,
    NotOnSale,
    PriceChanged,
    Product,
    State,
    Updated,
    archive,
    change,
    create,
)
from services.product.importing import Outcome, Result, Row, without_repeats

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def facts(**changes: Any) -> Facts:
    said = {
        "name": "Lamp",
        "description": "",
        "price": Money("EUR", 1000),
        "category_id": "c",
        "image_url": "",
        "attributes": {},
    }
    return Facts(**{**said, **changes})


def lamp() -> Product:
    return create("p", facts(), initial_stock=3, now=THEN).product


def test_a_new_product_is_on_sale_in_its_first_version() -> None:
    created = create("p", facts(), initial_stock=3, now=THEN)
    assert (created.product.state, created.version, created.initial_stock) == (State.ACTIVE, 1, 3)


def test_another_description_is_one_event() -> None:
    [updated] = change(lamp(), facts(description="Bright"), now=NOW)
    assert isinstance(updated, Updated)
    assert (updated.version, updated.product.version, updated.product.update_time) == (2, 2, NOW)


def test_another_price_is_two_events_with_consecutive_versions() -> None:
    updated, repriced = change(lamp(), facts(price=Money("EUR", 900)), now=NOW)
    assert isinstance(updated, Updated)
    assert isinstance(repriced, PriceChanged)
    assert (updated.version, repriced.version, repriced.product.version) == (2, 3, 3)
    assert repriced.old_price == Money("EUR", 1000)


def test_the_same_facts_are_no_event() -> None:
    assert change(lamp(), facts(), now=NOW) == ()


def test_an_archived_product_does_not_change_any_more() -> None:
    [archived] = archive(lamp(), now=NOW)
    assert isinstance(archived, Archived)
    assert (archived.product.state, archived.version) == (State.ARCHIVED, 2)
    assert archive(archived.product, now=NOW) == ()
    with pytest.raises(NotOnSale):
        change(archived.product, facts(description="Bright"), now=NOW)


def test_a_sale_is_no_change_of_the_product() -> None:
    product = lamp()
    assert product == Product(
        id="p", facts=facts(), state=State.ACTIVE, version=1, create_time=THEN, update_time=THEN, available=7
    )


@pytest.mark.parametrize(
    ("units", "nanos", "reason"),
    [
        (0, 0, "is zero"),
        (-1, 0, "is negative"),
        (0, -10_000_000, "is negative"),
        (1, -10_000_000, "has nanos out of range or of another sign than units"),
        (1, 1_000_000_000, "has nanos out of range or of another sign than units"),
        (1, 1_000_000, "has more decimals than EUR has"),
        (10**12, 0, "is too large"),
    ],
)
def test_a_price_is_exact_and_more_than_nothing(units: int, nanos: int, reason: str) -> None:
    with pytest.raises(rules.RuleBroken) as broken:
        rules.price("EUR", units, nanos, shop_currency="EUR")
    assert (broken.value.field, broken.value.reason) == ("price", reason)


def test_a_price_has_the_decimals_of_its_currency() -> None:
    assert rules.price("JPY", 120, 0, shop_currency="JPY") == Money("JPY", 120)
    assert rules.price("KWD", 1, 5_000_000, shop_currency="KWD") == Money("KWD", 1005)
    with pytest.raises(rules.RuleBroken, match="more decimals"):
        rules.price("JPY", 120, 500_000_000, shop_currency="JPY")


def test_a_price_in_another_currency_is_told_apart_from_a_wrong_one() -> None:
    with pytest.raises(rules.OtherCurrency):
        rules.price("USD", 1, 0, shop_currency="EUR")
    with pytest.raises(rules.RuleBroken, match="ISO 4217"):
        rules.price("euro", 1, 0, shop_currency="EUR")


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("", True),
        ("https://images.zoco.example/a.jpg?size=2#top", True),
        ("https://images.zoco.example:8443/a.jpg", True),
        ("http://images.zoco.example/a.jpg", False),
        ("https://", False),
        ("https://images.zoco.example:99999/", False),
        ("https://user@images.zoco.example/", False),
        ("https://images.zoco.example/a b", False),
        ("javascript:alert(1)", False),
    ],
)
def test_a_picture_has_an_https_address(address: str, good: bool) -> None:
    if good:
        assert rules.image_url(address) == address
    else:
        with pytest.raises(rules.RuleBroken, match="https"):
            rules.image_url(address)


def test_two_ways_to_type_a_name_are_one_name() -> None:
    typed = rules.title("name", "  Jamo\u0301n\t ibérico ", 200)
    assert typed == "Jamón ibérico"
    assert rules.identity(typed) == rules.identity(rules.title("name", "JAMÓN IBÉRICO", 200))
    assert rules.identity("ano") != rules.identity("año")


def test_names_are_sorted_without_regard_to_case_and_accents() -> None:
    names = ["Zumo", "álbum", "Burro", "Ñora", "nube"]
    assert sorted(names, key=rules.sort_key) == ["álbum", "Burro", "Ñora", "nube", "Zumo"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [("a\0b", "holds a NUL character"), ("a\x1bb", "holds a control character"), ("a" * 201, "is too long")],
)
def test_a_text_is_plain_and_bounded(value: str, reason: str) -> None:
    with pytest.raises(rules.RuleBroken) as broken:
        rules.text("name", value, 200)
    assert broken.value.reason == reason


def test_attributes_are_few_and_named() -> None:
    assert rules.attributes({"colour": "red"}) == {"colour": "red"}
    for values in ({"": "x"}, {"a" * 65: "x"}, {"a": "x" * 501}, {str(number): "x" for number in range(51)}):
        with pytest.raises(rules.RuleBroken):
            rules.attributes(values)


def test_of_two_rows_of_one_product_the_first_counts() -> None:
    def row(line: int, name: str) -> Row:
        return Row(
            line=line,
            name=name,
            description="",
            price=Money("EUR", 1),
            category="Lamps",
            initial_stock=0,
            image_url="",
            attributes={},
        )

    first, other = row(2, "Lamp"), row(3, "Chair")
    assert without_repeats([first, other, row(4, "LAMP")]) == [
        first,
        other,
        Result(4, Outcome.REJECTED, field="name", reason="repeats line 2"),
    ]
