"""What a fault is: something that is done to a shop under load, and taken back."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome
from tests.chaos.outside import Outside

Inflict = Callable[[House, Load, Outcome], Awaitable[None]]
"""Breaks something under load, waits until that has been felt, and heals it. Notes what a reader wants to know.

What is healed is healed when it returns, also if it raises.
"""

Prepare = Callable[[Path], AbstractContextManager[None]]
"""Prepares a shop's home before its first start; what is prepared lasts until the shop is stopped."""


@dataclass(frozen=True)
class Fault:
    """One way in which things go wrong."""

    name: str
    """Short, in lower case with hyphens: `postgres-killed`."""
    what: str
    """In plain words, for the report."""
    inflict: Inflict
    short: bool = False
    """Whether it belongs to the short form."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What the shop is told at start for it; a fault with settings gets a shop of its own."""
    through: Sequence[Outside] = ()
    """Servers that the shop reaches through a proxy for it; such a fault gets a shop of its own, too."""
    prepare: Prepare | None = None
    """What its shop's home needs beforehand; a fault with that gets a shop of its own, too."""
    poison: int = 0
    """Dead letters it leaves behind on purpose."""
    clients: int = 8
    """How many customers come at a time."""

    @property
    def alone(self) -> bool:
        """Whether it gets a shop of its own."""
        return bool(self.settings or self.through) or self.prepare is not None


Faults = Sequence[Fault]
