"""What a service tells of itself, in terms that need no knowledge of the service: findings, books, events."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import psycopg

from mesh.audit.invariants import Invariant

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

Account = tuple[Any, ...]
"""What a book says of one thing: values that are compared, such as what was taken and what was given back."""

MOST_EXAMPLES: Final = 1000
"""How many breaches of one kind are named at most; more are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is looked at."""

    lately: tuple[datetime, datetime]
    """What was changed between these moments may be under way: it is only judged by what must hold all the time."""
    settled: bool = False
    """Whether everything was seen at rest just before: then only what was begun since may be under way."""
    delivered_since: datetime
    """Events that are older have left the broker, and a consumer that is younger than that never saw them."""
    connections: Mapping[str, int] = field(default_factory=dict)
    """How many connections each application may have to the database, by the name it shows."""
    secrets: Sequence[bytes] = ()
    """What was told in confidence and must stand nowhere."""
    acknowledged: Sequence[str] = ()
    """Ids that clients were given, by whoever can tell."""

    def is_quiet(self, changed: datetime) -> bool:
        """Whether something that was last changed then is judged as at rest."""
        return not self.lately[0] <= changed < self.lately[1]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at under an invariant, and what breaks it."""

    invariant: Invariant
    checked: int
    breaches: int = 0
    examples: Sequence[str] = ()
    """Ids of what breaks it, each with what is wrong; not all, if there are many."""

    @classmethod
    def of(cls, invariant: Invariant, checked: int, wrong: Sequence[str]) -> "Finding":
        """A finding that names all that is wrong."""
        return cls(invariant, checked, len(wrong), tuple(wrong[:MOST_EXAMPLES]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One account of something that several keep: at rest all books about it must say the same."""

    invariant: Invariant
    """What a difference breaks."""
    about: str
    """What the book is about; those about the same are compared, entry by entry."""
    keeper: str
    """Who says so, in words."""
    accounts: Mapping[str, Account]
    """By id; what stands behind a space tells parts of one thing apart."""
    nothing: Account
    """What is meant where an id has no account."""
    complete: bool = True
    """Whether it has all ids; one that has not says nothing of those it lacks."""
    under_way: AbstractSet[str] = frozenset()
    """Ids that cannot be judged now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The events a service has told and heard, within the scope."""

    told: Mapping[str, AbstractSet[bytes]]
    """The ids of those that must have been delivered by now, by the event's full name."""
    known: AbstractSet[bytes]
    """The ids of all it has told, however old or new."""
    heard: AbstractSet[bytes]
    """The ids of all that took effect here."""
    heard_for_sure: AbstractSet[bytes]
    """Of those, the ones whose source must have them in its outbox by now."""
    set_aside: AbstractSet[bytes]
    """The ids of those that failed here and are told about as dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a service has to say."""

    findings: Sequence[Finding] = ()
    books: Sequence[Book] = ()
    dead_letters: Sequence[str] = ()
    """What was given up here."""
    events: Events | None = None


class Examination(Protocol):
    """What a service's `audit.py` brings."""

    async def examine(self, connection: Connection, scope: Scope) -> Facts:
        """What the service's own tables say. The connection reads one moment, and cannot write."""

    async def under_way(self, connection: Connection) -> int:
        """How much the service has still to do that no event or timer outside of it has to bring."""
