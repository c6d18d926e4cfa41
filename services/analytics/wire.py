"""Between the contract and the domain: events into facts, requests into periods, figures into responses."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import invalid_field
from mesh.money import Money
from mesh.wire import money_from_proto, money_to_proto, timestamp_from_proto, timestamp_to_proto
from services.analytics.domain import (
    EndBeforeStart,
    Fact,
    Interval,
    Measure,
    Period,
    Placement,
    Point,
    ProductSales,
    Refund,
    Registration,
    Sale,
    SaleLine,
    Summary,
    period_of,
)
from zoco.analytics.v1 import analytics_service_pb2 as service
from zoco.analytics.v1 import report_pb2
from zoco.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefunded
from zoco.user.v1.user_events_pb2 import UserRegistered

_INTERVALS: Final = {
    service.GetSalesRequest.INTERVAL_UNSPECIFIED: Interval.DAY,
    service.GetSalesRequest.HOUR: Interval.HOUR,
    service.GetSalesRequest.DAY: Interval.DAY,
    service.GetSalesRequest.WEEK: Interval.WEEK,
    service.GetSalesRequest.MONTH: Interval.MONTH,
}

_MEASURES: Final = {
    service.GetTopProductsRequest.MEASURE_UNSPECIFIED: Measure.REVENUE,
    service.GetTopProductsRequest.REVENUE: Measure.REVENUE,
    service.GetTopProductsRequest.UNITS: Measure.UNITS,
}

_POSITION: Final = re.compile(r"[0-9a-f]{32}")


def facts_of(event: Message, *, event_id: str) -> Iterator[Fact]:
    """What an event says; nothing where it is none of those that reports are made of.

    Raises:
        InvalidArgument: An amount in it is none.
    """
    match event:
        case OrderPlaced():
            amount = money_from_proto(event.total_amount, field="total_amount")
            yield Placement(event.order_id, amount, timestamp_from_proto(event.place_time))
        case OrderConfirmed():
            yield from _sale(event)
        case OrderCancelled(refunded_amount=given_back, cancel_time=time):
            # Nothing is given back where nothing had been charged.
            if given_back.currency_code:
                yield from _refund(
                    event_id, event.order_id, money_from_proto(given_back, field="refunded_amount"), time
                )
        case OrderRefunded(amount=given_back, refund_time=time):
            yield from _refund(event_id, event.order_id, money_from_proto(given_back, field="amount"), time)
        case UserRegistered():
            yield Registration(event.user_id, timestamp_from_proto(event.register_time))
        case _:
            return


def _sale(event: OrderConfirmed) -> Iterator[Fact]:
    time = timestamp_from_proto(event.confirm_time)
    units = sum(item.quantity for item in event.items)
    yield Sale(event.order_id, money_from_proto(event.total_amount, field="total_amount"), units, time)
    for line, item in enumerate(event.items):
        amount = money_from_proto(item.unit_price, field=f"items[{line}].unit_price") * item.quantity
        yield SaleLine(event.order_id, line, item.product_id, item.name, item.quantity, amount, time)


def _refund(event_id: str, order_id: str, amount: Money, time: Timestamp) -> Iterator[Fact]:
    if amount:
        yield Refund(event_id, order_id, amount, timestamp_from_proto(time))


def period_from_proto(
    request: service.GetSummaryRequest | service.GetSalesRequest | service.GetTopProductsRequest, *, now: datetime
) -> Period:
    """The period a request asks for.

    Raises:
        InvalidArgument: INVALID_FIELD: a bound is no time, or the end is before the start.
    """
    start = _moment(request.start_time, field="start_time") if request.HasField("start_time") else None
    end = _moment(request.end_time, field="end_time") if request.HasField("end_time") else None
    try:
        return period_of(start, end, now=now)
    except EndBeforeStart as reversed_bounds:
        if end is None:
            raise invalid_field("start_time", "must not be in the future where no end is given") from reversed_bounds
        raise invalid_field("end_time", "must not be before start_time") from reversed_bounds


def interval_from_proto(interval: "service.GetSalesRequest.Interval.ValueType") -> Interval:
    """How long a request wants its intervals."""
    return _INTERVALS[interval]


def measure_from_proto(measure: "service.GetTopProductsRequest.Measure.ValueType") -> Measure:
    """By what a request wants products ranked."""
    return _MEASURES[measure]


def summary_to_proto(summary: Summary) -> report_pb2.Summary:
    """Renders a summary."""
    return report_pb2.Summary(
        start_time=timestamp_to_proto(summary.period.start),
        end_time=timestamp_to_proto(summary.period.end),
        orders=summary.orders,
        placed_orders=summary.placed_orders,
        revenue=money_to_proto(summary.revenue),
        refunds=money_to_proto(summary.refunds),
        average_order=money_to_proto(summary.average_order),
        conversion=summary.conversion,
        new_users=summary.new_users,
    )


def sales_to_proto(points: Sequence[Point]) -> service.GetSalesResponse:
    """Renders a series."""
    return service.GetSalesResponse(
        points=[
            report_pb2.SalesPoint(
                start_time=timestamp_to_proto(point.start),
                orders=point.orders,
                revenue=money_to_proto(point.revenue),
                refunds=money_to_proto(point.refunds),
                units=point.units,
            )
            for point in points
        ]
    )


def products_to_proto(products: Sequence[ProductSales]) -> service.GetTopProductsResponse:
    """Renders a ranking."""
    return service.GetTopProductsResponse(
        products=[
            report_pb2.ProductSales(
                product_id=product.product_id,
                name=product.name,
                units=product.units,
                revenue=money_to_proto(product.revenue),
            )
            for product in products
        ]
    )


def position_of(summary: report_pb2.Summary) -> str:
    """A watch's position: a digest of the summary, so that one resumes by having seen it.

    Facts are only added, so within a day a summary never comes back to what it was, and another day is another summary.
    Nothing need be counted, and no transaction that commits late can be passed over.
    """
    seen = summary.SerializeToString(deterministic=True)
    return hashlib.blake2b(seen, digest_size=16).hexdigest()


def require_position(position: str) -> None:
    """Refuses what `position_of` never wrote; the empty text is the position before everything.

    Raises:
        InvalidArgument: It is none of ours.
    """
    if position and not _POSITION.fullmatch(position):
        raise invalid_field("position", "must be one that a message of this stream carried")


def _moment(message: Timestamp, *, field: str) -> datetime:
    try:
        return timestamp_from_proto(message)
    except (ValueError, OverflowError) as beyond:
        raise invalid_field(field, "must lie within the years 1 and 9999") from beyond
