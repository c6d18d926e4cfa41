"""Lints on what is repeated and kept: retries only where they are safe and few, caches only of what is everybody's."""

from collections.abc import Iterator, Sequence
from typing import Final

import grpc

from mesh.compiler.lints.contract import Contract, Fault
from mesh.policy import Audience, MethodPolicy, Policy

MOST_ATTEMPTS: Final = 5
"""gRPC makes no more, whatever a service config says."""

MOST_ON_A_PATH: Final = 6
"""Attempts at one method that one call from outside may lead to: retries at every level multiply in an outage."""

_CODES: Final = frozenset(code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK)


def unsafe_retry(contract: Contract) -> Iterator[Fault]:
    """A retry of what may not be repeated."""
    for method in contract.methods():
        if method.retry and not (method.idempotent or method.keyed):
            yield Fault(
                method.path,
                "it is retried, but a repeat may have a second effect",
                "declare it NO_SIDE_EFFECTS or IDEMPOTENT, make it KEYED, or drop retry",
            )


def retry_attempts(contract: Contract) -> Iterator[Fault]:
    """A retry of too many attempts, of none, or on no known status."""
    for method in contract.methods():
        retry = method.retry
        if retry is None:
            continue
        if retry.max_attempts > MOST_ATTEMPTS:
            yield Fault(
                method.path,
                f"retry.max_attempts is {retry.max_attempts}; gRPC makes {MOST_ATTEMPTS} at most",
                f"say {MOST_ATTEMPTS} or fewer",
            )
        elif retry.max_attempts < 2:
            yield Fault(
                method.path, f"retry.max_attempts is {retry.max_attempts}: no retry", "say 2 or more, or drop it"
            )
        if unknown := sorted(set(retry.codes) - _CODES):
            yield Fault(method.path, f"retry.codes names {unknown[0]}", "name gRPC status codes, such as UNAVAILABLE")
        elif not retry.codes:
            yield Fault(method.path, "retry.codes is empty", "say which status is repeated, such as UNAVAILABLE")


def attempts_multiply(contract: Contract) -> Iterator[Fault]:
    """A path on which attempts multiply above what an outage bears."""
    for start in contract.methods():
        for path in _paths(contract.policy, [start]):
            attempts = 1
            for method in path:
                attempts *= _attempts(method)
            if len(path) > 1 and attempts > MOST_ON_A_PATH:
                shown = " x ".join(f"{method.name} {_attempts(method)}" for method in path)
                yield Fault(
                    path[-1].path,
                    f"one call may become {attempts} attempts at it ({shown}); {MOST_ON_A_PATH} is the most",
                    "let fewer of them be retried, or less often",
                )


def _paths(policy: Policy, walked: Sequence[MethodPolicy]) -> Iterator[Sequence[MethodPolicy]]:
    yield walked
    for name in walked[-1].calls:
        callee = policy.methods.get(f"/{name}")
        if callee is not None and callee not in walked:
            yield from _paths(policy, [*walked, callee])


def _attempts(method: MethodPolicy) -> int:
    return method.retry.max_attempts if method.retry else 1


def unsafe_cache(contract: Contract) -> Iterator[Fault]:
    """A cache of answers that are not the same for everybody, or not answers alone."""
    for method in contract.methods():
        if method.cache_ttl is None:
            continue
        if not method.side_effect_free:
            yield Fault(
                method.path, "cache_ttl on a method with side effects", "declare it NO_SIDE_EFFECTS, or drop cache_ttl"
            )
        if method.audience is not Audience.PUBLIC:
            yield Fault(
                method.path,
                f"cache_ttl on a method for {method.audience.name}: one person would get another's answer",
                "drop cache_ttl; only what is PUBLIC is the same for everybody",
            )
