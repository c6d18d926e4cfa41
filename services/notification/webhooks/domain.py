"""Webhooks, their deliveries, and when what failed is tried again: pure; the dice are an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

DEFAULT_OVERLAP: Final = timedelta(days=1)
"""How long the secrets of before a rotation hold."""
MOST_SECRETS: Final = 4
"""How many secrets of one webhook are valid at once: each makes a header longer."""
KEPT: Final = timedelta(days=30)
"""How long a delivery can be looked at and sent again."""


class EventType(Enum):
    """What a webhook can be told of, by the names that receivers see."""

    PLACED = "order.placed"
    CONFIRMED = "order.confirmed"
    REJECTED = "order.rejected"
    CANCELLED = "order.cancelled"
    SHIPPED = "order.shipped"
    DELIVERED = "order.delivered"
    REFUNDED = "order.refunded"


class DisableReason(Enum):
    """Why a webhook is told nothing."""

    BY_ADMINISTRATOR = "BY_ADMINISTRATOR"
    GONE = "GONE"
    FAILING = "FAILING"


class DeliveryState(Enum):
    """What became of a delivery."""

    WAITING = "WAITING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """An address that hears of orders."""

    id: str
    url: str
    event_types: tuple[EventType, ...]
    """None: all."""
    disable_reason: DisableReason | None
    """None: it is enabled."""
    disable_time: datetime | None
    failing_since: datetime | None
    version: int
    """Of what administrators and its end change; attempts do not count."""
    create_time: datetime
    update_time: datetime

    @property
    def enabled(self) -> bool:
        """Whether it is told."""
        return self.disable_reason is None

    @property
    def etag(self) -> str:
        """Its version, as clients hand it back."""
        return str(self.version)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a webhook is told, or was."""

    id: str
    webhook_id: str
    event_id: str
    """What receivers know repeats by."""
    event_type: EventType
    order_id: str
    order_version: int
    state: DeliveryState
    attempts: int
    create_time: datetime
    attempt_time: datetime | None
    next_time: datetime
    deliver_time: datetime | None
    response_status: int | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long things are tried."""

    first_retry: timedelta = timedelta(seconds=10)
    """The longest pause after a first failure; it doubles with each."""
    longest_retry: timedelta = timedelta(hours=4)
    """The longest pause of all."""
    longest_probe: timedelta = timedelta(minutes=5)
    """The longest pause until something else is sent to a webhook whose last attempt failed."""
    give_up_after: timedelta = timedelta(days=1)
    """After which time in vain a delivery fails, and a webhook through which nothing got is disabled."""

    def retry(self, failures: int, dice: float) -> timedelta:
        """How long a delivery waits after so many failures in a row.

        Args:
            failures: At least 1.
            dice: From 0 to 1: full jitter, so that what failed together does not come again together.
        """
        return self._pause(failures, self.longest_retry) * dice

    def probe(self, failures: int, dice: float) -> timedelta:
        """How long a webhook is left alone after so many failures in a row."""
        return self._pause(failures, self.longest_probe) * dice

    def _pause(self, failures: int, most: timedelta) -> timedelta:
        return min(self.first_retry * (1 << min(max(failures, 1) - 1, 20)), most)
