"""The rules of inventory that need no database."""

import random
from datetime import UTC, datetime

import pytest

from services.inventory.domain import Line, RepeatedProduct, Shortage, Stock, in_lock_order, shortages

SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def test_lines_are_locked_in_the_order_of_their_products(rng: random.Random) -> None:
    lines = [Line(f"{number:04}", 1) for number in range(20)]
    shuffled = rng.sample(lines, len(lines))
    assert in_lock_order(shuffled) == tuple(lines)


def test_a_product_may_stand_in_one_line_only() -> None:
    with pytest.raises(RepeatedProduct) as repeated:
        in_lock_order([Line("a", 1), Line("b", 1), Line("a", 2)])
    assert repeated.value.index == 2


def test_a_shortage_names_each_product_that_lacks_pieces() -> None:
    lines = [Line("enough", 3), Line("few", 3), Line("unknown", 1)]
    assert shortages(lines, {"enough": 3, "few": 2}) == (Shortage("few", 2, 3), Shortage("unknown", 0, 1))


def test_what_was_received_is_available_reserved_or_sold() -> None:
    assert Stock("a", available=5, reserved=2, sold=1, version=4, update_time=SOME_TIME).received == 8
