"""The invariants of the system, in the words that a person reads."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Invariant(StrEnum):
    """What must hold, whatever has failed meanwhile."""

    STOCK_ADDS_UP = "I1"
    ONE_OUTCOME = "I2"
    MONEY_AGREES = "I3"
    NO_STRAY_CHARGE = "I4"
    DELIVERED_ONCE = "I5"
    READABLE = "I6"
    IDEMPOTENT = "I7"
    VIEWS_ARE_FOLDS = "I8"
    AT_REST = "I9"
    NO_LEAK_OF_CONNECTIONS = "I10"
    NO_LEAK_OF_SECRETS = "I11"


INVARIANTS: Final[Mapping[Invariant, str]] = MappingProxyType(
    {
        Invariant.STOCK_ADDS_UP: "available + reserved + sold = received, and the pieces sold are those of orders",
        Invariant.ONE_OUTCOME: "every order has exactly one outcome, in time, and nothing contradicts it",
        Invariant.MONEY_AGREES: "orders, payments and the provider tell the same of every amount taken and given back",
        Invariant.NO_STRAY_CHARGE: "no charge without an order, no authorization left open",
        Invariant.DELIVERED_ONCE: "every committed event has reached its consumers, with one effect each",
        Invariant.READABLE: "every acknowledged order can be read",
        Invariant.IDEMPOTENT: "one answer a key, one effect a key",
        Invariant.VIEWS_ARE_FOLDS: "what is read is what the events tell, and no event is missing",
        Invariant.AT_REST: "nothing waits that should have been done, and nothing was given up",
        Invariant.NO_LEAK_OF_CONNECTIONS: "no transaction stands idle, no process has more connections than its pool",
        Invariant.NO_LEAK_OF_SECRETS: "no secret stands in a log, an event or a dead letter",
    }
)
"""Each with what it says."""
