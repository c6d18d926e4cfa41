"""What ImportProducts promises, as tests over any implementation: the tests' shop and the real product service.

A subclass gives a fixture `call`: rows in, results out. Names are made unique, so that a database may be shared.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import pytest
from google.type.money_pb2 import Money

from zoco.product.v1.product_service_pb2 import ImportResult, ImportRow

Call = Callable[[Sequence[ImportRow]], Awaitable[Sequence[ImportResult]]]


def row(line: int, name: str, category: str = "Contract", cents: int = 250) -> ImportRow:
    """Make a good row."""
    return ImportRow(
        line=line,
        name=name,
        description="A thing of the contract's tests.",
        price=Money(currency_code="EUR", units=cents // 100, nanos=cents % 100 * 10_000_000),
        category=category,
        initial_stock=5,
        image_url="https://images.zoco.example/contract.jpg",
        attributes={"weight": "1 kg"},
    )


def outcomes(results: Sequence[ImportResult]) -> list[str]:
    """Return the outcomes by name."""
    return [ImportResult.Outcome.Name(result.outcome) for result in results]


@pytest.fixture
def unique() -> str:
    return uuid4().hex[:12]


class ImportProductsContract:
    """The promises."""

    async def test_a_row_is_created_once_and_unchanged_ever_after(self, call: Call, unique: str) -> None:
        rows = [row(2, f"Bread {unique}"), row(3, f"Cheese {unique}")]
        first, second = await call(rows), await call(rows)
        assert outcomes(first) == ["CREATED", "CREATED"]
        assert outcomes(second) == ["UNCHANGED", "UNCHANGED"]
        assert [each.product_id for each in first] == [each.product_id for each in second]
        assert len({each.product_id for each in first}) == 2

    @pytest.mark.parametrize(
        "change",
        [
            ImportRow(price=Money(currency_code="EUR", units=3)),
            ImportRow(description="Another text."),
            ImportRow(image_url="https://images.zoco.example/another.jpg"),
            ImportRow(attributes={"colour": "red"}),
        ],
        ids=["price", "description", "image", "attributes"],
    )
    async def test_what_a_row_changes_is_updated(self, call: Call, unique: str, change: ImportRow) -> None:
        first = await call([row(2, f"Bread {unique}")])
        changed = row(7, f"Bread {unique}")
        changed.MergeFrom(change)
        second, third = await call([changed]), await call([changed])
        assert (outcomes(second), outcomes(third)) == (["UPDATED"], ["UNCHANGED"])
        assert second[0].product_id == first[0].product_id

    async def test_a_product_is_known_by_category_and_name_without_regard_to_case_and_space(
        self, call: Call, unique: str
    ) -> None:
        first = await call([row(2, f"Olive Oil {unique}", "Oil & More")])
        again = await call([row(2, f"  OLIVE   oil {unique} ", " oil  & MORE")])
        assert again[0].product_id == first[0].product_id
        assert outcomes(again)[0] in {"UNCHANGED", "UPDATED"}

    async def test_the_same_name_in_another_category_is_another_product(self, call: Call, unique: str) -> None:
        results = await call([row(2, f"Orange {unique}", "Fruit"), row(3, f"Orange {unique}", "Paint")])
        assert outcomes(results) == ["CREATED", "CREATED"]

    async def test_stock_counts_for_a_new_product_only(self, call: Call, unique: str) -> None:
        await call([row(2, f"Bread {unique}")])
        more = row(2, f"Bread {unique}")
        more.initial_stock = 900
        assert outcomes(await call([more])) == ["UNCHANGED"]

    async def test_a_bad_row_is_rejected_with_its_field_and_stops_no_other(self, call: Call, unique: str) -> None:
        foreign = row(3, f"Dollars {unique}")
        foreign.price.currency_code = "USD"
        negative = row(4, f"Negative {unique}")
        negative.price.units = -3
        negative.price.nanos = 0
        results = await call([row(2, f"Good {unique}"), foreign, negative, row(5, " "), row(6, f"Good too {unique}")])
        assert outcomes(results) == ["CREATED", "REJECTED", "REJECTED", "REJECTED", "CREATED"]
        assert [each.line for each in results] == [2, 3, 4, 5, 6]
        assert [each.field for each in results[1:4]] == ["currency", "price", "name"]
        assert all(each.reason and not each.product_id for each in results[1:4])

    async def test_of_two_rows_for_one_product_in_a_call_the_first_counts(self, call: Call, unique: str) -> None:
        results = await call(
            [row(2, f"Bread {unique}"), row(3, f" BREAD {unique}", cents=900), row(4, f"Tea {unique}")]
        )
        assert outcomes(results) == ["CREATED", "REJECTED", "CREATED"]
        assert results[1].field == "name"
        assert outcomes(await call([row(2, f"Bread {unique}")])) == ["UNCHANGED"]

    async def test_answers_come_in_the_order_of_the_rows(self, call: Call, unique: str) -> None:
        lines = [9, 2, 7, 4]
        results = await call([row(line, f"Line {line} {unique}") for line in lines])
        assert [each.line for each in results] == lines

    async def test_a_thousand_rows_pass_and_two_imports_at_once_make_each_product_once(
        self, call: Call, unique: str
    ) -> None:
        rows = [row(number, f"Piece {number} {unique}", f"Shelf {number % 5} {unique}") for number in range(1, 1001)]
        both = await asyncio.gather(call(rows), call(rows))
        names = [outcomes(results) for results in both]
        assert sorted(first + second for first, second in zip(*names, strict=True)) == sorted(
            "CREATEDUNCHANGED" if first == "CREATED" else "UNCHANGEDCREATED" for first, _ in zip(*names, strict=True)
        )
        assert [each.product_id for each in both[0]] == [each.product_id for each in both[1]]
