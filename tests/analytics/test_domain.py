"""Periods, intervals and figures, without a database."""

from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from mesh.money import Money
from services.analytics.domain import (
    MOST_INTERVALS,
    EndBeforeStart,
    Interval,
    Period,
    Summary,
    TooManyIntervals,
    day_of,
    period_of,
    starts_of,
)
from tests.analytics.given import NOON, at


def summary(**figures: int) -> Summary:
    numbers = {"orders": 0, "placed_orders": 0, "placed_and_confirmed": 0, "new_users": 0, "revenue": 0, **figures}
    revenue = Money("EUR", numbers.pop("revenue"))
    return Summary(period=Period(NOON, NOON), revenue=revenue, refunds=Money.zero("EUR"), **numbers)


@pytest.mark.parametrize(
    ("revenue", "orders", "average"), [(100, 4, 25), (100, 3, 33), (200, 3, 67), (5, 2, 3), (0, 0, 0)]
)
def test_an_average_is_rounded_to_the_nearest_coin(revenue: int, orders: int, average: int) -> None:
    assert summary(revenue=revenue, orders=orders).average_order == Money("EUR", average)


def test_conversion_is_a_share_of_what_was_placed() -> None:
    assert summary(placed_orders=4, placed_and_confirmed=3).conversion == 0.75
    assert summary().conversion == 0


def test_a_period_without_a_start_has_thirty_days() -> None:
    assert period_of(None, None, now=NOON) == Period(at("2025-05-19T12:00"), NOON)
    assert period_of(None, at("2025-02-01"), now=NOON) == Period(at("2025-01-02"), at("2025-02-01"))
    assert period_of(at("2025-06-01"), None, now=NOON) == Period(at("2025-06-01"), NOON)
    assert period_of(None, at("0001-01-03"), now=NOON) == Period(at("0001-01-01"), at("0001-01-03"))


def test_a_period_may_be_empty_but_not_run_backwards() -> None:
    assert period_of(NOON, NOON, now=NOON) == Period(NOON, NOON)
    with pytest.raises(EndBeforeStart):
        period_of(NOON, NOON - timedelta(microseconds=1), now=NOON)
    with pytest.raises(EndBeforeStart):
        period_of(NOON + timedelta(microseconds=1), None, now=NOON)


def test_a_day_runs_from_midnight_to_midnight() -> None:
    assert day_of(at("2024-02-29T23:59:59.999999")) == Period(at("2024-02-29"), at("2024-03-01"))


@pytest.mark.parametrize(
    ("interval", "starts"),
    [
        (Interval.HOUR, ["2024-02-28T23:00", "2024-02-29T00:00"]),
        (Interval.DAY, ["2024-02-28", "2024-02-29"]),
        (Interval.WEEK, ["2024-02-26"]),
        (Interval.MONTH, ["2024-02-01"]),
    ],
)
def test_the_first_interval_begins_at_or_before_the_period(interval: Interval, starts: list[str]) -> None:
    period = Period(at("2024-02-28T23:30"), at("2024-02-29T00:30"))
    assert starts_of(period, interval) == tuple(map(at, starts))


def test_a_week_begins_on_monday() -> None:
    starts = starts_of(Period(at("2024-12-29"), at("2025-01-07")), Interval.WEEK)
    assert starts == tuple(map(at, ["2024-12-23", "2024-12-30", "2025-01-06"]))


def test_months_are_as_long_as_they_are() -> None:
    starts = starts_of(Period(at("2023-11-30"), at("2024-04-01")), Interval.MONTH)
    assert starts == tuple(map(at, ["2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01", "2024-03-01"]))


def test_an_empty_period_has_no_intervals() -> None:
    assert starts_of(Period(NOON, NOON), Interval.MONTH) == ()


@pytest.mark.parametrize("interval", list(Interval))
def test_intervals_cover_their_period_without_gap_or_rest(interval: Interval, rng: Random) -> None:
    for _ in range(30):
        start = datetime.fromtimestamp(rng.randrange(4_000_000_000), NOON.tzinfo)
        end = start + timedelta(seconds=rng.randrange(1, 5_000_000))
        starts = starts_of(Period(start, end), interval)
        assert starts[0] <= start
        assert starts[-1] < end
        assert list(starts) == sorted(set(starts))
        # Each begins where the calendar says, and the one before it ends there.
        assert starts == starts_of(Period(starts[0], end), interval)
        for earlier, later in pairwise(starts):
            assert starts_of(Period(earlier, later), interval) == (earlier,)


def test_two_thousand_intervals_are_the_most_that_a_period_has() -> None:
    limit = timedelta(hours=MOST_INTERVALS)
    assert len(starts_of(Period(at("2025-01-01"), at("2025-01-01") + limit), Interval.HOUR)) == MOST_INTERVALS
    with pytest.raises(TooManyIntervals):
        starts_of(Period(at("2025-01-01T00:59"), at("2025-01-01T00:59") + limit), Interval.HOUR)
