"""The list of lints, and what running them gives: one line a finding, all at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler.lints import access, events, graph, limits, repeats, rest
from mesh.compiler.lints.contract import Contract, Fault, Place, read_contract
from mesh.tuning import Tuning


@dataclass(frozen=True, order=True)
class Finding:
    """What is wrong, where, and what to do about it."""

    file: str
    line: int
    subject: str
    """The RPC, service or message, as contracts spell it."""
    rule: str
    """Name of the lint."""
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.subject}: " if self.subject else ""
        return f"{where}: {subject}{self.problem}; {self.remedy} [{self.rule}]"


@dataclass(frozen=True)
class Lint:
    """One rule over the whole contract."""

    name: str
    check: Callable[[Contract], Iterator[Fault]]


LINTS: Final[tuple[Lint, ...]] = (
    Lint("incomplete", access.incomplete),
    Lint("unknown-caller", access.unknown_caller),
    Lint("unreachable", access.unreachable),
    Lint("hidden-route", access.hidden_route),
    Lint("owner-unchecked", access.owner_unchecked),
    Lint("unsafe-retry", repeats.unsafe_retry),
    Lint("retry-attempts", repeats.retry_attempts),
    Lint("attempts-multiply", repeats.attempts_multiply),
    Lint("unsafe-cache", repeats.unsafe_cache),
    Lint("unknown-call", graph.unknown_call),
    Lint("call-not-allowed", graph.call_not_allowed),
    Lint("caller-never-calls", graph.caller_never_calls),
    Lint("no-time", graph.no_time),
    Lint("deadline-too-short", graph.deadline_too_short),
    Lint("call-cycle", graph.call_cycle),
    Lint("missing-limit", limits.missing_limit),
    Lint("public-change-unlimited", limits.public_change_unlimited),
    Lint("uneven-tier", limits.uneven_tier),
    Lint("overlapping-routes", rest.overlapping_routes),
    Lint("unmarked-stream", rest.unmarked_stream),
    Lint("streamed-request", rest.streamed_request),
    Lint("unbound-variable", rest.unbound_variable),
    Lint("contradicting-body", rest.contradicting_body),
    Lint("sensitive-event", events.sensitive_event),
    Lint("unknown-event", events.unknown_event),
)
"""All of them. A finding ends with the name of its lint."""


def lint(descriptors: FileDescriptorSet, tuning: Tuning | None = None) -> Sequence[Finding]:
    """Holds the contracts against every lint.

    Args:
        descriptors: the contracts with all they import and their source information.
        tuning: whose tiers must be those of the contracts; None to leave that out.

    Returns:
        The findings, by file and line.
    """
    contract = read_contract(descriptors)
    lints = LINTS
    if tuning is not None:
        lints += (Lint("tier", partial(limits.tier_faults, tiers=tuning.profiles.dev.tiers)),)
    found = {_finding(contract, each.name, fault) for each in lints for fault in each.check(contract)}
    return sorted(found)


def _finding(contract: Contract, rule: str, fault: Fault) -> Finding:
    if not fault.subject:
        return Finding("mesh/tuning.yaml", 0, "", rule, fault.problem, fault.remedy)
    place = contract.places.get(fault.subject, Place("", 0))
    file = f"protos/{place.file}" if place.file else "protos"
    return Finding(file, place.line, fault.subject.lstrip("/"), rule, fault.problem, fault.remedy)
