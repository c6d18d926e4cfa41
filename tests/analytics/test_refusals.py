"""What analytics refuses, and to whom."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import utc_now
from mesh.errors import PermissionDenied, Unauthenticated
from services.analytics.settings import AnalyticsSettings
from tests.analytics.conftest import Shop, assert_names, refused
from tests.analytics.given import MINUTE, NOON
from tests.harness import Harness, Tokens
from zoco.analytics.v1 import analytics_service_pb2 as service

DAY = timedelta(days=1)


async def test_a_period_that_is_none_is_refused_by_field(shop: Shop) -> None:
    beyond = Timestamp(seconds=10**15)
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"start_time": NOON, "end_time": NOON - MINUTE}, "end_time"),
        ({"start_time": utc_now() + DAY}, "start_time"),
        ({"start_time": beyond}, "start_time"),
        ({"end_time": beyond}, "end_time"),
        ({"end_time": Timestamp(nanos=-1)}, "end_time"),
    ]
    for period, field in wrongs:
        for call in (
            shop.admin.GetSummary(service.GetSummaryRequest(**period)),
            shop.admin.GetSales(service.GetSalesRequest(**period)),
            shop.admin.GetTopProducts(service.GetTopProductsRequest(**period)),
        ):
            assert_names(await refused(call), field)


async def test_what_the_contract_does_not_know_is_refused_by_field(shop: Shop) -> None:
    unknown: Any = 9
    assert_names(await refused(shop.admin.GetTopProducts(service.GetTopProductsRequest(limit=-1))), "limit")
    assert_names(await refused(shop.admin.GetTopProducts(service.GetTopProductsRequest(limit=101))), "limit")
    assert_names(await refused(shop.admin.GetTopProducts(service.GetTopProductsRequest(by=unknown))), "by")
    assert_names(await refused(shop.admin.GetSales(service.GetSalesRequest(interval=unknown))), "interval")


async def test_reports_are_for_administrators(shop: Shop, tokens: Tokens) -> None:
    calls: dict[str, Callable[[Any], Any]] = {
        "GetSummary": lambda stub: stub.GetSummary(service.GetSummaryRequest()),
        "GetSales": lambda stub: stub.GetSales(service.GetSalesRequest()),
        "GetTopProducts": lambda stub: stub.GetTopProducts(service.GetTopProductsRequest()),
        "WatchSales": lambda stub: stub.WatchSales(service.WatchSalesRequest()).read(),
    }
    assert set(calls) == {method.name for method in service.DESCRIPTOR.services_by_name["AnalyticsService"].methods}
    customer, stranger = shop.reached_with(tokens.customer()), shop.reached_with(None)
    for name, call in calls.items():
        as_customer, as_stranger = await refused(call(customer)), await refused(call(stranger))
        assert isinstance(as_customer, PermissionDenied), name
        assert as_customer.reason == "ROLE_REQUIRED"
        assert isinstance(as_stranger, Unauthenticated), name
        assert as_stranger.reason == "TOKEN_MISSING"


def test_a_currency_that_is_none_is_named_at_start(harness: Harness) -> None:
    with pytest.raises(ValueError, match="ZOCO_CURRENCY"):
        AnalyticsSettings.model_validate({"ZOCO_PKI_DIR": harness.pki / "analytics", "ZOCO_CURRENCY": "euro"})
