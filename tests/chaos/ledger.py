"""What the shop has acknowledged to customers, and so has to keep, whatever happens to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.points import Flow
from tests.journeys.transports import Json


@dataclass(frozen=True)
class Said:
    """What a client was told in answer to a keyed call, in so far as a repeat must be told the same."""

    raw: bytes
    """The bytes of the answer; empty for a refusal."""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Acknowledged:
    """An order that a customer has been told of."""

    flow: Flow
    buyer: str
    """The access token of whoever placed it."""
    request: Json
    said: Said
    order_id: str
    ends: Sequence[str]
    """States in which it may come to rest."""
    refunded: str | None = None
    """What must have been given back at the end, as a decimal number; None where the flow leaves that open."""


@dataclass
class Ledger:
    """All that was acknowledged in a run, and what was wrong with the answers."""

    orders: list[Acknowledged] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Answers that the contract does not allow, whatever has happened."""
    repeated: list[str] = field(default_factory=list)
    """Calls that got no answer at a try, and why; a customer tried them again."""
    finished: int = 0
    """Flows that went to their end."""

    @property
    def order_ids(self) -> Sequence[str]:
        """The ids of all acknowledged orders."""
        return [each.order_id for each in self.orders]
