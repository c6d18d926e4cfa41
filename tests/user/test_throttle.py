"""How failed log-ins slow an account down."""

from datetime import UTC, datetime, timedelta

from services.user.throttle import LONGEST_DELAY, Throttle

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(failures: int, *, every: timedelta, begin: datetime = START) -> tuple[Throttle, datetime]:
    throttle, now = Throttle(), begin
    for number in range(failures):
        now = begin + number * every
        throttle = throttle.after_failure(now)
    return throttle, now


def test_nine_failures_slow_nothing_down() -> None:
    throttle, now = after(9, every=timedelta(seconds=1))

    assert throttle.wait(now) == timedelta()


def test_the_tenth_failure_within_fifteen_minutes_slows_the_account_down() -> None:
    throttle, now = after(10, every=timedelta(seconds=99))

    assert throttle.wait(now) == timedelta(seconds=5)
    assert throttle.wait(now + timedelta(seconds=2)) == timedelta(seconds=3)
    assert throttle.wait(now + timedelta(seconds=5)) == timedelta()


def test_ten_failures_over_a_longer_time_slow_nothing_down() -> None:
    throttle, now = after(30, every=timedelta(seconds=101))

    assert throttle.wait(now) == timedelta()


def test_each_further_failure_doubles_the_delay_up_to_five_minutes() -> None:
    throttle, now = after(10, every=timedelta(seconds=1))
    delays = [throttle.wait(now)]
    for _ in range(20):
        now += throttle.wait(now)
        throttle = throttle.after_failure(now)
        delays.append(throttle.wait(now))

    assert [delay.total_seconds() for delay in delays[:8]] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert set(delays[7:]) == {LONGEST_DELAY}


def test_an_account_that_is_left_alone_for_fifteen_minutes_is_as_new() -> None:
    throttle, now = after(15, every=timedelta(seconds=1))
    later = now + timedelta(minutes=15)

    throttle = throttle.after_failure(later)

    assert throttle == Throttle(failures=(later,))


def test_only_ten_failures_are_remembered() -> None:
    throttle, _ = after(1000, every=timedelta(milliseconds=1))

    assert len(throttle.failures) == 10
