"""What time it is, as an argument: code that needs the time takes a Clock, and a test passes its own."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present moment, aware, in UTC."""


def utc_now() -> datetime:
    """The present moment by the machine's clock."""
    return datetime.now(UTC)
