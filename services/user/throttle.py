"""How failed log-ins slow an account down: pure; the time is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=15)
ALLOWED_FAILURES = 10
FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Throttle:
    """What is known of the failures for one address, whether it has an account or not.

    Attributes:
        failures: when log-ins failed, oldest first; at most the last ten.
        level: how many failures in a row have slowed the account down; the delay doubles with each.
        slowed_until: before this nothing is tried.
    """

    failures: tuple[datetime, ...] = ()
    level: int = 0
    slowed_until: datetime | None = None

    def wait(self, now: datetime) -> timedelta:
        """How long nothing is tried from now on; zero where a log-in may be tried."""
        if self.slowed_until is None or self.slowed_until <= now:
            return timedelta()
        return self.slowed_until - now

    def after_failure(self, now: datetime) -> "Throttle":
        """The throttle after one more failure.

        Ten failures within 15 minutes slow the account down, by 5 seconds at first and twice as long with each further
        failure, up to 5 minutes. Whoever stays away from it for 15 minutes finds it as new. What is tried while it is
        slowed down does not come here: it must not be possible to keep an account shut by knocking.
        """
        recent = (*(failure for failure in self.failures if failure > now - WINDOW), now)[-ALLOWED_FAILURES:]
        level = self.level if len(recent) > 1 else 0
        if level == 0 and len(recent) < ALLOWED_FAILURES:
            return Throttle(failures=recent)
        # 2**6 times 5 seconds is already above the cap: a larger exponent would only make larger numbers.
        delay = min(FIRST_DELAY * 2 ** min(level, 6), LONGEST_DELAY)
        return Throttle(failures=recent, level=level + 1, slowed_until=now + delay)
