"""A list that is longer than its contract allows is refused before anything looks at what is in it."""

import time

import pytest

from mesh.errors import InvalidArgument
from mesh.pipeline.lengths import check_lengths, limits_of
from zoco.notification.v1.notification_pb2 import Notification, Preferences
from zoco.notification.v1.notification_service_pb2 import UpdatePreferencesRequest
from zoco.order.v1.order_service_pb2 import GetOrderRequest, LineItem, PreviewOrderRequest
from zoco.product.v1.product_pb2 import Product
from zoco.product.v1.product_service_pb2 import UpdateProductRequest


def test_a_list_of_hundreds_of_thousands_costs_no_time() -> None:
    request = PreviewOrderRequest(items=[LineItem()] * 300_000)
    began = time.perf_counter()
    with pytest.raises(InvalidArgument) as refused:
        check_lengths(request, limits_of(request.DESCRIPTOR))
    assert time.perf_counter() - began < 0.5
    (violation,) = refused.value.field_violations
    assert (refused.value.reason, violation.field) == ("INVALID_FIELD", "items")
    assert violation.rule == "repeated.max_items"


def test_a_list_within_its_limit_passes() -> None:
    request = PreviewOrderRequest(items=[LineItem()] * 100)
    check_lengths(request, limits_of(request.DESCRIPTOR))


def test_lists_and_maps_inside_of_messages_are_counted() -> None:
    too_many = Product(attributes={str(number): "" for number in range(51)})
    muted = Preferences(muted_kinds=[Notification.WELCOME] * 33)
    for request, field in (
        (UpdateProductRequest(product=too_many), "product.attributes"),
        (UpdatePreferencesRequest(preferences=muted), "preferences.muted_kinds"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            check_lengths(request, limits_of(request.DESCRIPTOR))
        assert [violation.field for violation in refused.value.field_violations] == [field]


def test_a_request_without_lists_has_no_limits() -> None:
    assert not limits_of(GetOrderRequest.DESCRIPTOR)
