"""Rate limits in the process itself, for callers that come by no edge.

The edge counts what comes through it. Here is counted what a workload does in a person's name, so that no detour
through a neighbour gets around a limit. What a workload does on its own account (sagas, consumers) is not held to
numbers meant for outside clients: a delayed compensation would cost more than it saves. Shedding protects there.

As at the edge, a tier is one bucket a client: all its methods of one tier count together.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, assert_never

from mesh.call import Call
from mesh.decision import EDGE
from mesh.errors import ResourceExhausted
from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.policy import LimitKey, MethodPolicy, RateLimit
from mesh.tuning import Rate

RateOf = Callable[[RateLimit], Rate]
"""What a limit of a contract comes to here."""

Monotonic = Callable[[], float]
"""Seconds that never run backwards."""

Bucket = tuple[str, LimitKey, str]
"""Tier, what it counts by, and who is counted."""

_EVERYBODY: Final = ""


class RateLimits:
    """The token buckets of one process.

    A bucket is kept as one number, the moment at which it would be full again (the generic cell rate algorithm, ITU-T
    I.371): it holds a window's requests, refills evenly, and needs no timer.

    Args:
        rate_of: What a limit comes to in this environment.
        max_keys: Buckets at most; the one used longest ago is forgotten first.
        now: The time.
    """

    def __init__(self, rate_of: RateOf, *, max_keys: int, now: Monotonic = time.monotonic) -> None:
        self.rate_of = rate_of
        self._max_keys = max_keys
        self._now = now
        self._full_at: OrderedDict[Bucket, float] = OrderedDict()

    def take(self, bucket: Bucket, rate: Rate) -> float:
        """Takes a token, or tells in how many seconds there will be one; 0 where it was taken."""
        now, window = self._now(), rate.per.total_seconds()
        full_at = max(self._full_at.get(bucket, now), now) + window / rate.requests
        wait = full_at - window - now
        if wait > 1e-9:  # what rounding leaves over is no wait
            return wait
        self._full_at[bucket] = full_at
        self._full_at.move_to_end(bucket)
        if len(self._full_at) > self._max_keys:
            self._full_at.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at)


def rate_limit_stage(limits: RateLimits) -> Stage:
    """Refuses a call whose bucket is empty, and says when there will be a token again."""

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        checks = [(limit.tier, limit.by, limits.rate_of(limit)) for limit in policy.rate_limits]
        counts_all = any(by is LimitKey.GLOBAL for _, by, _ in checks)

        def limit(exchange: Exchange) -> Awaitable[Any]:
            call = exchange.call
            if counts_all or (call.caller != EDGE and call.subject is not None):
                for tier, by, rate in checks:
                    who = counted_as(by, call)
                    wait = 0.0 if who is None else limits.take((tier, by, who), rate)
                    if wait:
                        raise ResourceExhausted(
                            "RATE_LIMITED", "too many calls of this kind", retry_after=timedelta(seconds=wait)
                        )
            return proceed(exchange)

        return limit

    return stage


def counted_as(by: LimitKey, call: Call) -> str | None:
    """Whom a call is counted under; None where this process does not count it."""
    match by:
        case LimitKey.GLOBAL:
            return _EVERYBODY
        case LimitKey.SUBJECT:
            return None if call.caller == EDGE or call.subject is None else call.subject.id
        case LimitKey.IP:
            # Behind a neighbour there is no address: the person stands for it, apart for each neighbour.
            return None if call.caller == EDGE or call.subject is None else f"{call.caller}:{call.subject.id}"
        case _:
            assert_never(by)
