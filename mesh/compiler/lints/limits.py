"""Lints on how often: every door to the outside has a limit, and every limit a number in every profile."""

from collections.abc import Iterator, Mapping

from mesh.compiler.lints.contract import Contract, Fault
from mesh.policy import Audience, LimitKey
from mesh.tuning import Tier


def missing_limit(contract: Contract) -> Iterator[Fault]:
    """A method that is open to the outside without a limit that counts."""
    for method in contract.methods():
        keys = {limit.by for limit in method.rate_limits}
        if method.audience is Audience.NONE:
            continue
        if not keys:
            yield Fault(method.path, "it is open to the outside without a rate_limit", "say how often it may be called")
        elif method.audience is Audience.PUBLIC and keys == {LimitKey.SUBJECT}:
            yield Fault(
                method.path, "it is PUBLIC and limited by SUBJECT alone, which nobody has to be", "limit it by IP too"
            )


def public_change_unlimited(contract: Contract) -> Iterator[Fault]:
    """A method by which anybody can change something, without a limit by address."""
    for method in contract.methods():
        keys = {limit.by for limit in method.rate_limits}
        if method.audience is Audience.PUBLIC and not method.side_effect_free and keys and LimitKey.IP not in keys:
            yield Fault(method.path, "anybody can change something with it, without a limit by IP", "limit it by IP")


def uneven_tier(contract: Contract) -> Iterator[Fault]:
    """A tier whose limits differ: a tuning profile has one number for all of it."""
    first: dict[str, tuple[str, str]] = {}
    for method in contract.methods():
        for limit in method.rate_limits:
            shown = f"{limit.requests} in {limit.per.total_seconds():g} s"
            where, said = first.setdefault(limit.tier, (method.path, shown))
            if said != shown:
                yield Fault(
                    method.path,
                    f'tier "{limit.tier}" is {shown} here and {said} in {where.lstrip("/")}',
                    "one tier has one number: change it, or name another tier",
                )


def tier_faults(contract: Contract, tiers: Mapping[str, Tier]) -> Iterator[Fault]:
    """A tier of the contract without a number in the profile, or a number for a tier that no contract names."""
    named: dict[str, str] = {}
    for method in contract.methods():
        for limit in method.rate_limits:
            named.setdefault(limit.tier, method.path)
    for tier in sorted(named.keys() - tiers.keys()):
        yield Fault(named[tier], f'tier "{tier}" has no number', f"add profiles.dev.tiers.{tier} to mesh/tuning.yaml")
    for tier in sorted(tiers.keys() - named.keys()):
        yield Fault("", f"profiles.dev.tiers.{tier}: no contract names this tier", "drop it, or fix its name")
