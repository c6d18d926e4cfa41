"""Page tokens hold a place in one query; one that was made up is refused, never sent to the database."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from mesh.errors import InvalidArgument
from mesh.ids import uuid7
from mesh.paging import KeyPart, next_token, number_key, read_page, text_key, uuid_key
from zoco.order.v1.order_pb2 import Order
from zoco.order.v1.order_service_pb2 import ListOrdersRequest


def continued(key: list[KeyPart]) -> Message:
    """The request for what comes behind a key."""
    return ListOrdersRequest(page_token=next_token(ListOrdersRequest(), key))


@pytest.mark.parametrize(("asked", "given"), [(0, 20), (1, 1), (100, 100), (101, 100), (2**31 - 1, 100)])
def test_a_page_has_20_items_unless_said_and_never_more_than_100(asked: int, given: int) -> None:
    assert read_page(ListOrdersRequest(page_size=asked)).size == given


def test_a_token_gives_back_the_key_it_was_made_of() -> None:
    key: list[KeyPart] = [uuid7(), -(2**63) + 1, "Álava 🍊"]
    assert read_page(continued(key), uuid_key, number_key, text_key).after == key


def test_a_token_outlives_another_page_size_but_no_other_filter() -> None:
    token = next_token(ListOrdersRequest(page_size=1, state=Order.PENDING), [1])
    assert read_page(ListOrdersRequest(page_size=9, state=Order.PENDING, page_token=token), number_key).after == [1]
    with pytest.raises(InvalidArgument, match="INVALID_PAGE_TOKEN"):
        read_page(ListOrdersRequest(page_size=1, state=Order.SHIPPED, page_token=token), number_key)


@pytest.mark.parametrize("token", ["x", "rubbish!", "e30", "WzFd", "bnVsbA", "W1tbW1tb", "\0", "é"])
def test_a_damaged_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="INVALID_PAGE_TOKEN"):
        read_page(ListOrdersRequest(page_token=token), number_key)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (["no uuid"], uuid_key),
        ([7], uuid_key),
        ([2**63], number_key),
        ([1.5], number_key),
        ([True], number_key),
        (["1"], number_key),
        (["a\0b"], text_key),
        (["\ud800"], text_key),
        ([None], text_key),
        ([1, 2], number_key),
        ([], number_key),
    ],
    ids=repr,
)
def test_a_key_that_no_row_can_have_is_refused(key: list[KeyPart], kind: Callable[[Any], Any]) -> None:
    with pytest.raises(InvalidArgument, match="INVALID_PAGE_TOKEN"):
        read_page(continued(key), kind)
