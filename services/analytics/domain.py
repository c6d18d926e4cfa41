"""What a report is: periods, intervals, the facts it is made of and the figures in it. Pure, in UTC.

A fact is what one event says. Facts are only ever added, each under a key of its own, so it does not matter in which
order events come, or how often.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from mesh.money import Money

DEFAULT_PERIOD: Final = timedelta(days=30)
"""How far back a report goes that names no start."""

MOST_INTERVALS: Final = 2000


class EndBeforeStart(ValueError):
    """A period ends before it begins."""


class TooManyIntervals(ValueError):
    """A period has more than MOST_INTERVALS intervals."""


@dataclass(frozen=True, slots=True)
class Placement:
    """An order was placed."""

    order_id: str
    amount: Money
    place_time: datetime


@dataclass(frozen=True, slots=True)
class Sale:
    """An order was confirmed."""

    order_id: str
    amount: Money
    """What was captured."""
    units: int
    """Pieces in all."""
    confirm_time: datetime


@dataclass(frozen=True, slots=True)
class SaleLine:
    """One line of an order that was confirmed."""

    order_id: str
    line: int
    """From 0."""
    product_id: str
    name: str
    """What the product was called when the order was placed."""
    units: int
    amount: Money
    """Of all its pieces."""
    confirm_time: datetime


@dataclass(frozen=True, slots=True)
class Refund:
    """Money was given back, by a refund or a cancellation."""

    event_id: str
    """An order can have many: each event is one."""
    order_id: str
    amount: Money
    refund_time: datetime


@dataclass(frozen=True, slots=True)
class Registration:
    """An account was made."""

    user_id: str
    register_time: datetime


Fact = Placement | Sale | SaleLine | Refund | Registration
"""What events say."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `start`, inclusive, to `end`, exclusive; both aware and in UTC."""

    start: datetime
    end: datetime


class Interval(StrEnum):
    """How long one point of a series is."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


class Measure(StrEnum):
    """By what products are ranked."""

    REVENUE = "REVENUE"
    UNITS = "UNITS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The shop in one period."""

    period: Period
    orders: int
    """Confirmed in the period."""
    placed_orders: int
    """Placed in the period."""
    placed_and_confirmed: int
    """Of those placed in the period, how many were confirmed, whenever that was."""
    revenue: Money
    refunds: Money
    new_users: int

    @property
    def average_order(self) -> Money:
        """Revenue by order, to the nearest smallest coin, halves up; zero without orders."""
        if self.orders == 0:
            return Money.zero(self.revenue.currency)
        return Money(self.revenue.currency, (2 * self.revenue.minor + self.orders) // (2 * self.orders))

    @property
    def conversion(self) -> float:
        """Share of the orders placed that were confirmed, 0 to 1; 0 without any."""
        return self.placed_and_confirmed / self.placed_orders if self.placed_orders else 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """Sales of one interval."""

    start: datetime
    """When the interval begins; the period may begin later."""
    orders: int
    revenue: Money
    refunds: Money
    units: int


@dataclass(frozen=True, slots=True)
class ProductSales:
    """How a product sold in a period."""

    product_id: str
    name: str
    units: int
    revenue: Money


def period_of(start: datetime | None, end: datetime | None, *, now: datetime) -> Period:
    """The period that is meant: without an end until now, without a start the 30 days before the end.

    Raises:
        EndBeforeStart: It ends before it begins.
    """
    until = now if end is None else end
    if start is None:
        # Nothing was sold in the year 1.
        start = until - min(DEFAULT_PERIOD, until - datetime.min.replace(tzinfo=until.tzinfo))
    if until < start:
        raise EndBeforeStart
    return Period(start, until)


def day_of(moment: datetime) -> Period:
    """The whole day, midnight to midnight, that a moment lies in."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(midnight, midnight + timedelta(days=1))


def starts_of(period: Period, interval: Interval) -> tuple[datetime, ...]:
    """When the intervals begin that a period touches, oldest first; the first one may begin before the period.

    Raises:
        TooManyIntervals: There are more than MOST_INTERVALS.
    """
    starts: list[datetime] = []
    start: datetime | None = _floor(period.start, interval)
    while start is not None and start < period.end:
        if len(starts) == MOST_INTERVALS:
            raise TooManyIntervals
        starts.append(start)
        start = _next(start, interval)
    return tuple(starts) if period.start < period.end else ()


def _floor(moment: datetime, interval: Interval) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    match interval:
        case Interval.HOUR:
            return hour
        case Interval.DAY:
            return hour.replace(hour=0)
        case Interval.WEEK:
            # The year 1 begins with a Monday: there is one before every day.
            return hour.replace(hour=0) - timedelta(days=moment.weekday())
        case Interval.MONTH:
            return hour.replace(day=1, hour=0)
        case _:
            assert_never(interval)


def _next(start: datetime, interval: Interval) -> datetime | None:
    """When the next interval begins; None where the calendar ends."""
    try:
        match interval:
            case Interval.HOUR:
                return start + timedelta(hours=1)
            case Interval.DAY:
                return start + timedelta(days=1)
            case Interval.WEEK:
                return start + timedelta(weeks=1)
            case Interval.MONTH:
                return (start + timedelta(days=31)).replace(day=1)
            case _:
                assert_never(interval)
    except OverflowError:
        return None
