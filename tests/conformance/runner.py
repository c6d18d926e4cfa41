"""Runs cases against a live edge, and says what became of each."""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from mesh.ids import uuid7
from tests.conformance.case import Case, Expected, Step
from tests.conformance.patterns import MISSING, differences
from tests.conformance.sending import fill, open_exchange, rendered, send
from tests.conformance.wire import Answer
from tests.conformance.world import World


class Verdict(Enum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "FAILED"
    DEVIATES = "known deviation"


@dataclass(frozen=True)
class Outcome:
    """A case that was run."""

    case: Case
    verdict: Verdict
    reasons: Sequence[str] = ()
    """What was wrong, where it failed."""
    request: str = ""
    """The request of the step where it failed, as it went out."""
    answer: str = ""
    """What came back."""


def run(world: World, cases: Iterable[Case]) -> Iterator[Outcome]:
    """Runs cases one after another."""
    for each in cases:
        yield _run(world, each)


def _run(world: World, case: Case) -> Outcome:
    # What a case makes is its own: `$fresh` is an id that nothing has, `$mark` a word that nothing is called by.
    names = {**world.names, "fresh": uuid7(), "mark": secrets.token_hex(6)}
    *before, last = case.steps
    for step in before:
        answer = _take(world, step, names)
        if reasons := tuple(_wrong(step.expected, answer, names)):
            return _failed(world, case, step, reasons, answer, names)
        names |= _kept(step, answer)
    answer = _take(world, last, names)
    reasons = tuple(_wrong(last.expected, answer, names))
    if case.deviation is None:
        return _failed(world, case, last, reasons, answer, names) if reasons else Outcome(case, Verdict.PASSED)
    if not reasons:
        return _failed(world, case, last, ["it conforms now: the case is no deviation any more"], answer, names)
    if other := tuple(_wrong(case.deviation.instead, answer, names)):
        reasons = ("it neither conforms nor deviates as it is known to", *other)
        return _failed(world, case, last, reasons, answer, names)
    return Outcome(case, Verdict.DEVIATES, answer=answer.in_short())


def _take(world: World, step: Step, names: Mapping[str, str]) -> Answer:
    events = step.expected.events
    if events is None:
        return send(world.address, step.request, names)
    answer = Answer(0, {}, b"")
    meanwhile = step.meanwhile
    for answer in open_exchange(world.address, step.request, names).stream(len(events), to_its_end=step.expected.ends):
        if meanwhile is not None and answer.events:
            done = send(world.address, meanwhile, names)
            assert done.status == 200, f"{meanwhile}: {done}"
            meanwhile = None
    return answer


def _wrong(expected: Expected, answer: Answer, names: Mapping[str, str]) -> Iterator[str]:
    if answer.status not in expected.statuses:
        yield f"the status is {answer.status}, and not {' or '.join(map(str, expected.statuses))}"
    for name, pattern in expected.headers.items():
        value = answer.headers.get(name, MISSING)
        yield from differences(fill(pattern, names), value, f"the header {name}")
    if expected.events is not None:
        yield from differences(fill(list(expected.events), names), list(answer.events), "events")
        if expected.ends and not answer.ended:
            yield "the stream did not end"
        return
    yield from differences(fill(expected.json, names), answer.json)
    if expected.raw is not None and answer.raw != expected.raw:
        yield f"the body is not {expected.raw!r}"
    if expected.contains is not None and expected.contains not in answer.raw:
        yield f"the body has no {expected.contains!r} in it"
    if expected.same_as and answer.raw.decode("latin-1") != names[expected.same_as]:
        yield "the body is not the same as before"


def _kept(step: Step, answer: Answer) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, path in step.keep.items():
        value: Any = {"events": answer.events} if path.startswith("events.") else answer.json
        if path == "*":
            kept[name] = answer.raw.decode("latin-1")
            continue
        for part in path.split("."):
            value = value[int(part)] if part.isdigit() else value[part]
        kept[name] = str(value)
    return kept


def _failed(
    world: World, case: Case, step: Step, reasons: Sequence[str], answer: Answer, names: Mapping[str, str]
) -> Outcome:
    # A token in a report would be a token in whatever keeps the report.
    shown = {key: f"<{key}>" if key.startswith("token_") else value for key, value in names.items()}
    sent = rendered(world.address, replace(step.request, body=(step.request.body or b"")[:1000]), shown)
    number = f"step {case.steps.index(step) + 1} of {len(case.steps)}: " if len(case.steps) > 1 else ""
    request = number + sent.decode(errors="backslashreplace").replace("\r\n", "\n").strip()
    return Outcome(case, Verdict.FAILED, reasons, request, str(answer))
