"""Which RPCs a change of the contracts makes wider: more callers, a weaker audience, fewer limits, no owner check.

`python -m mesh.compiler.widening` compares with what clients rely on, and refuses what no commit names.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import CompileError
from mesh.compiler.history import Baseline, find_baseline, trailers_since
from mesh.compiler.protos import describe
from mesh.policy import Audience, MethodPolicy, Policy, read_policy
from mesh.tuning import Rate

TRAILER: Final = "Policy-Wider"
"""A commit that widens an RPC on purpose says so: `Policy-Wider: OrderService/GetOrder why that is right`."""

_REACH: Final = (Audience.NONE, Audience.ADMIN, Audience.USER, Audience.PUBLIC)
"""Audiences, each of which lets in more than the one before."""


class Kind(Enum):
    """What a change means for who may do what."""

    WIDER = "wider"
    NARROWER = "narrower"
    OTHER = "other"
    """Neither: how long a call may take, say."""
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True)
class Change:
    """What became of one thing that a contract says of an RPC."""

    path: str
    """gRPC path."""
    kind: Kind
    what: str
    """Such as `access.edge: USER -> PUBLIC`."""


def compare(old: Policy, new: Policy) -> list[Change]:
    """Give what changed in who may do what, by RPC."""
    changes: list[Change] = []
    for path in sorted(old.methods.keys() | new.methods.keys()):
        before, after = old.methods.get(path), new.methods.get(path)
        if before is None and after is not None:
            changes.append(Change(path, Kind.NEW, _access(after)))
        elif before is not None and after is None:
            changes.append(Change(path, Kind.GONE, _access(before)))
        elif before is not None and after is not None:
            changes += [Change(path, kind, what) for kind, what in _changed(before, after)]
    return changes


def _access(method: MethodPolicy) -> str:
    callers = f", callers {', '.join(sorted(method.callers))}" if method.callers else ""
    return f"access.edge {method.audience.name}{callers}"


def _changed(old: MethodPolicy, new: MethodPolicy) -> Iterator[tuple[Kind, str]]:
    if old.audience is not new.audience:
        wider = _REACH.index(new.audience) > _REACH.index(old.audience)
        yield _kind(wider=wider), f"access.edge: {old.audience.name} -> {new.audience.name}"
    if more := sorted(new.callers - old.callers):
        yield Kind.WIDER, f"access.callers: + {', '.join(more)}"
    if fewer := sorted(old.callers - new.callers):
        yield Kind.NARROWER, f"access.callers: - {', '.join(fewer)}"
    if old.owner_field != new.owner_field:
        said = f"access.owner_field: {old.owner_field or 'none'} -> {new.owner_field or 'none'}"
        # Another field is another check: whether it guards the same, a person has to say.
        yield _kind(wider=bool(old.owner_field)), said
    yield from _limits(old, new)
    if old.deadline != new.deadline:
        yield Kind.OTHER, f"deadline: {_seconds(old.deadline)} -> {_seconds(new.deadline)}"


def _limits(old: MethodPolicy, new: MethodPolicy) -> Iterator[tuple[Kind, str]]:
    before, after = _by_key(old), _by_key(new)
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key, ()), after.get(key, ())
        if was != now:
            wider = not all(any(_bounds(limit, earlier) for limit in now) for earlier in was)
            yield _kind(wider=wider), f"rate_limit by {key}: {_rates(was)} -> {_rates(now)}"


def _by_key(method: MethodPolicy) -> dict[str, tuple[Rate, ...]]:
    """The limits by each key; their tiers say nothing about what the contract lets pass."""
    limits: dict[str, tuple[Rate, ...]] = {}
    for limit in method.rate_limits:
        limits[limit.by.name] = tuple(sorted((*limits.get(limit.by.name, ()), Rate(limit.requests, limit.per))))
    return limits


def _bounds(limit: Rate, earlier: Rate) -> bool:
    """Whether a limit lets pass no more than an earlier one: neither at once, nor in the long run."""
    return limit.requests <= earlier.requests and limit.requests * earlier.per <= earlier.requests * limit.per


def _kind(*, wider: bool) -> Kind:
    return Kind.WIDER if wider else Kind.NARROWER


def _rates(limits: Sequence[Rate]) -> str:
    return " and ".join(f"{limit.requests} in {_seconds(limit.per)}" for limit in limits) or "none"


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"


def check(root: Path) -> tuple[Baseline, Sequence[Change]] | None:
    """Compare the contracts with those that clients rely on.

    Args:
        root: the project directory, a git checkout.

    Returns:
        What they were compared with, and what became wider and is named; None if no earlier contract is known.

    Raises:
        CompileError: something became wider that no commit since then names.
    """
    image = describe(root / "protos")
    baseline = find_baseline(root, image)
    if baseline is None:
        return None
    old, new = (
        read_policy(FileDescriptorSet.FromString(each), skip_incomplete=True) for each in (baseline.image, image)
    )
    wider = [change for change in compare(old, new) if change.kind is Kind.WIDER]
    named = [value.split()[0].lstrip("/") for value in trailers_since(root, baseline, TRAILER)]
    unnamed = [change for change in wider if not any(_names(name, change.path) for name in named)]
    if unnamed:
        lines = [f"{change.path.lstrip('/')}: {change.what}" for change in unnamed]
        raise CompileError(
            "\n".join(lines) + f"\nThis is wider than in {baseline.revision[:12]}. "
            f"If it is meant, a commit says so: {TRAILER}: {_short(unnamed[0].path)} why that is right"
        )
    return baseline, wider


def _names(name: str, path: str) -> bool:
    """Whether a name, with or without its package, is that of an RPC."""
    return name in {path.lstrip("/"), _short(path)}


def _short(path: str) -> str:
    service, _, method = path.lstrip("/").rpartition("/")
    return f"{service.rpartition('.')[2]}/{method}"


def main() -> int:
    """Run the check.

    Returns:
        The exit code: 1 if something became wider that no commit names.
    """
    try:
        checked = check(Path(__file__).resolve().parents[2])
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    if checked is None:
        print("policy: there is no earlier contract in the history to compare with")
        return 0
    baseline, wider = checked
    meant = "nothing is wider" if not wider else f"{len(wider)} changes are wider, and a commit names each"
    print(f"policy: {meant} than in {baseline.revision[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
