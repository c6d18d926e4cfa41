"""Decisions of the policy a second, on one core: every RPC asked by everybody, by the rules the pipeline asks."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from mesh.decision import Decider, Decision, Identity, TokenState
from mesh.ids import uuid7
from mesh.policy import load_policy
from tests.bench.figure import ROUNDS, Figure, figure

SECONDS: Final = 1.0


def measure() -> Sequence[Figure]:
    """Decisions a second, one after the other."""
    return [figure("decisions of the policy", [rate() for _ in range(ROUNDS)], unit="/s")]


def rate(seconds: float = SECONDS) -> float:
    """Decisions a second."""
    asks = questions()
    made, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        for ask in asks:
            ask()
        made += len(asks)
    return made / elapsed


def questions() -> Sequence[Callable[[], Decision]]:
    """Every method x identity; rules are worked out before, as the pipeline does once a method."""
    policy = load_policy()
    me = uuid7()
    identities = [
        Identity("edge"),
        Identity("edge", TokenState.VALID, me, "CUSTOMER"),
        Identity("edge", TokenState.VALID, uuid7(), "ADMIN"),
        Identity("edge", TokenState.EXPIRED),
        Identity("stranger"),
        *map(Identity, policy.workloads),
    ]
    return [
        partial(decider, identity, me if method.owner_field else None)
        for method, decider in ((each, Decider(each)) for each in policy.methods.values())
        for identity in identities
    ]


if __name__ == "__main__":
    print(f"decisions: {rate():,.0f} a second on one core, over {len(questions())} questions")
