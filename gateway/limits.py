"""Rate limits at the edge: token buckets by the tiers that the contract names, counted by address or by subject.

A tier is one bucket a client: all public reads of an address count together. Buckets are Envoy's own, so each process
counts for itself, and so does each of its two public listeners.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from gateway.authentication import CLAIMS, JWT
from gateway.contract import ContractError, Surface
from gateway.xds import Message, extension
from mesh.policy import LimitKey, RateLimit
from mesh.tuning import ProfileName, Rate, Tuning
from mesh.wellknown import PORTAL
from mesh.wire import json_duration

PORTAL_LIMIT: Final = RateLimit(LimitKey.IP, 100, timedelta(seconds=1), PORTAL)
"""Of what the portal answers: health of the whole, reflection. No contract names it."""

BY_ADDRESS: Final = "rate limit by address"
BY_SUBJECT: Final = "rate limit by subject"

_COUNTED_IN: Final[Mapping[str, tuple[LimitKey, ...]]] = {
    BY_ADDRESS: (LimitKey.GLOBAL, LimitKey.IP),
    # Known only once the token is verified.
    BY_SUBJECT: (LimitKey.SUBJECT,),
}
_ROUTE: Final = "zoco.limits"
_ADDRESS: Final = "masked_remote_address"  # Envoy's own name for what its action makes
_SUBJECT: Final = "subject"
_ALWAYS: Final = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


@dataclass(frozen=True)
class Limits:
    """Every bucket of one edge.

    Attributes:
        rates: how much a tier lets pass, by tier and by what it counts.
        max_keys: clients that are counted at once in a tier; the one seen longest ago is forgotten first.
    """

    rates: Mapping[tuple[str, LimitKey], Rate]
    max_keys: int

    @property
    def longest_wait(self) -> timedelta:
        """How long at most a client waits for its next request, in whole seconds."""
        second = timedelta(seconds=1)
        return max(math.ceil(rate.per / rate.requests / second) * second for rate in self.rates.values())


def read_limits(surface: Surface, tuning: Tuning, profile: ProfileName) -> Limits:
    """Collect the limits of what is exposed.

    Args:
        surface: the methods.
        tuning: numbers of the profile.
        profile: which numbers count.

    Raises:
        ContractError: two methods give different numbers to one tier, or a method counts by the same thing twice.
        TuningError: the profile lacks a tier.
    """
    rates = {(PORTAL_LIMIT.tier, PORTAL_LIMIT.by): Rate(PORTAL_LIMIT.requests, PORTAL_LIMIT.per)}
    first: dict[tuple[str, LimitKey], str] = {}
    for method in surface.methods:
        if len({limit.by for limit in method.rate_limits}) < len(method.rate_limits):
            raise ContractError(f"{method.path}: it has two rate limits by the same thing; keep the stricter one.")
        for limit in method.rate_limits:
            key = (limit.tier, limit.by)
            rate = tuning.rate(limit, profile)
            if rates.setdefault(key, rate) != rate:
                raise ContractError(
                    f"{method.path}: the tier {limit.tier} is one bucket, but has other numbers in "
                    f"{first.get(key, 'the portal')}; give them the same, or name another tier."
                )
            first.setdefault(key, method.path)
    by_name = sorted(rates.items(), key=lambda item: (item[0][0], item[0][1].name))
    return Limits(dict(by_name), tuning.rate_limits.max_keys)


def counted(limits: Iterable[RateLimit]) -> Message:
    """Give a route's share of it, its metadata: which tier its requests count in, by what is counted."""
    tiers = {limit.by.name: limit.tier for limit in limits}
    return {"metadata": {"filter_metadata": {_ROUTE: tiers}}} if tiers else {}


def limiter(name: str, limits: Limits) -> Message:
    """Give one of the two local_ratelimit filters, `BY_ADDRESS` or `BY_SUBJECT`."""
    keys = _COUNTED_IN[name]
    return extension(
        name,
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix=name.replace(" ", "_"),
        filter_enabled=_ALWAYS,
        filter_enforced=_ALWAYS,
        rate_limits=[{"actions": [_tier(by), *_client(by)]} for by in keys],
        descriptors=[
            {"entries": _entries(tier, by), "token_bucket": _bucket(rate)}
            for (tier, by), rate in limits.rates.items()
            if by in keys
        ],
        max_dynamic_descriptors=limits.max_keys,
        rate_limited_as_resource_exhausted=True,
        enable_retry_after_header=True,
    )


def _tier(by: LimitKey) -> Message:
    """Give the part that a route says; where it says none, nothing is counted."""
    path = [{"key": by.name}]
    return {
        "metadata": {
            "descriptor_key": by.name,
            "metadata_key": {"key": _ROUTE, "path": path},
            "source": "ROUTE_ENTRY",
        }
    }


def _client(by: LimitKey) -> list[Message]:
    """Give the part that tells clients apart; where there is none, nothing is counted."""
    match by:
        case LimitKey.GLOBAL:
            return []
        case LimitKey.IP:
            # An IPv6 host has a /64 to itself and could count up in it (RFC 6177).
            return [{_ADDRESS: {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}]
        case LimitKey.SUBJECT:
            path = [{"key": CLAIMS}, {"key": "sub"}]
            return [{"metadata": {"descriptor_key": _SUBJECT, "metadata_key": {"key": JWT, "path": path}}}]
        case _:
            assert_never(by)


def _entries(tier: str, by: LimitKey) -> list[Message]:
    fixed = {"key": by.name, "value": tier}
    # Without a value there is a bucket for each value there is.
    match by:
        case LimitKey.GLOBAL:
            return [fixed]
        case LimitKey.IP:
            return [fixed, {"key": _ADDRESS}]
        case LimitKey.SUBJECT:
            return [fixed, {"key": _SUBJECT}]
        case _:
            assert_never(by)


def _bucket(rate: Rate) -> Message:
    return {"max_tokens": rate.requests, "tokens_per_fill": rate.requests, "fill_interval": json_duration(rate.per)}
