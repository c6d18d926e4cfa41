"""What no service can see alone: books of several keepers, events told and heard, all the dead letters. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from mesh.audit import INVARIANTS, Book, Facts, Finding, Invariant
from mesh.audit.facts import MOST_EXAMPLES
from mesh.bus.contract import EventContract


@dataclass(frozen=True)
class Verdict:
    """What an audit found of one invariant."""

    invariant: Invariant
    checked: int
    breaches: int
    examples: tuple[str, ...]
    """What breaks it: an id, and what is wrong."""

    @property
    def title(self) -> str:
        """What the invariant says."""
        return INVARIANTS[self.invariant]


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    verdicts: tuple[Verdict, ...]

    @property
    def clean(self) -> bool:
        """Whether every invariant holds."""
        return not any(verdict.breaches for verdict in self.verdicts)


def compare(facts: Mapping[str, Facts], contract: EventContract, *, poison: int = 0) -> list[Finding]:
    """What the facts of all services say together.

    Args:
        facts: By service.
        contract: Who tells and hears what.
        poison: How many dead letters there should be.
    """
    books = sorted((book for each in facts.values() for book in each.books), key=lambda book: (book.about, book.keeper))
    return [
        *(_agree(list(same)) for _, same in groupby(books, key=lambda book: book.about)),
        _delivered(facts, contract),
        _given_up(facts, poison),
    ]


def conclude(findings: Sequence[Finding]) -> Audit:
    """One verdict an invariant, in the order of their numbers."""
    return Audit(tuple(_verdict(invariant, findings) for invariant in Invariant))


def _verdict(invariant: Invariant, findings: Sequence[Finding]) -> Verdict:
    ours = [finding for finding in findings if finding.invariant is invariant]
    examples = [example for finding in ours for example in finding.examples]
    breaches = sum(finding.breaches for finding in ours)
    return Verdict(invariant, sum(finding.checked for finding in ours), breaches, tuple(examples[:MOST_EXAMPLES]))


def _agree(books: Sequence[Book]) -> Finding:
    """Books about the same, entry by entry. One book alone agrees with itself."""
    moving = frozenset().union(*(book.under_way for book in books))
    ids = set().union(*(book.accounts for book in books)) if len(books) > 1 else set()
    wrong: list[str] = []
    checked = 0
    for key in ids:
        if key.partition(" ")[0] in moving:
            continue
        checked += 1
        said = [book.accounts.get(key, book.nothing) for book in books if book.complete or key in book.accounts]
        if any(account != said[0] for account in said):
            wrong.append(f"{key}: {', '.join(_told(book, key) for book in books)}")
    return Finding.of(books[0].invariant, checked, sorted(wrong))


def _told(book: Book, key: str) -> str:
    account = book.accounts.get(key)
    if account is None:
        return f"{book.keeper} has none"
    return f"{book.keeper} has {' '.join(str(value) for value in account)}".rstrip()


def _delivered(facts: Mapping[str, Facts], contract: EventContract) -> Finding:
    """Every event at all its consumers, and nothing heard that nobody told."""
    events = {service: each.events for service, each in facts.items() if each.events is not None}
    told = {kind: ids for each in events.values() for kind, ids in each.told.items()}
    known = frozenset().union(*(each.known for each in events.values())) if events else frozenset()
    wrong: list[str] = []
    checked = 0
    for service, own in events.items():
        part = contract.workloads.get(service)
        if part is None:
            continue
        for kind in part.consumes:
            expected = told.get(kind, frozenset())
            checked += len(expected)
            missing = expected - own.heard - own.set_aside
            wrong += [f"{UUID(bytes=event_id)}: {kind} has not reached {service}" for event_id in missing]
        if set(part.sources) <= set(events):
            strange = own.heard_for_sure - known
            wrong += [
                f"{UUID(bytes=event_id)}: took effect at {service}, and nobody has told it" for event_id in strange
            ]
    return Finding.of(Invariant.DELIVERED_ONCE, checked, sorted(wrong))


def _given_up(facts: Mapping[str, Facts], poison: int) -> Finding:
    letters = [letter for each in facts.values() for letter in each.dead_letters]
    if len(letters) == poison:
        return Finding(Invariant.AT_REST, len(letters))
    if len(letters) > poison:
        return Finding(Invariant.AT_REST, len(letters), len(letters) - poison, tuple(letters[:MOST_EXAMPLES]))
    missing = f"{poison} dead letters were to be expected, and there are {len(letters)}"
    return Finding(Invariant.AT_REST, len(letters), poison - len(letters), (missing,))


def as_json(audit: Audit, *, most: int) -> dict[str, object]:
    """The audit as programs read it: at most `most` ids of what breaks an invariant, and what is wrong with each."""
    return {
        "invariants": [
            {
                "id": verdict.invariant.value,
                "title": verdict.title,
                "checked": verdict.checked,
                "breaches": verdict.breaches,
                "examples": [example.partition(": ")[0] for example in verdict.examples[:most]],
                "details": list(verdict.examples[:most]),
            }
            for verdict in audit.verdicts
        ],
        "clean": audit.clean,
    }


def sentences(verdict: Verdict, *, most: int) -> Iterator[str]:
    """What breaks an invariant, at most `most` of it, and how much more there is."""
    yield from verdict.examples[:most]
    if verdict.breaches > most:
        yield f"and {verdict.breaches - most} more"
