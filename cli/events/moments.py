"""A moment as a person says it: how long ago, or when."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from cli.failures import Failure

_AGO: Final = re.compile(r"(\d{1,6})\s*(s|m|h|d)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(said: str, *, now: datetime) -> datetime:
    """Return the moment that `said` means: `90m`, `12h`, `7d` ago, or a time by ISO 8601, in UTC unless it says so.

    Raises:
        Failure: it means none, or one that is still to come.
    """
    try:
        if (ago := _AGO.fullmatch(said.strip())) is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        meant = datetime.fromisoformat(said.strip())
    except (ValueError, OverflowError):
        raise Failure(f"{said!r} is no time; say 90m, 12h or 7d, or 2026-11-28T09:30.") from None
    meant = meant if meant.tzinfo else meant.replace(tzinfo=UTC)
    if meant > now:
        raise Failure(f"{said} is still to come.")
    return meant
