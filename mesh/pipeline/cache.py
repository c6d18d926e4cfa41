"""The stage that answers public reads with remembered bytes.

Nothing here names a service. What is cached says the contract (`cache_ttl`); what is dropped say the events, each of
which names what it is about (`Transaction.touch`, docs/decisions/020).
"""

import asyncio
from dataclasses import replace
from typing import Any, Final, NoReturn

from mesh.call import enter
from mesh.errors import DeadlineExceeded
from mesh.metrics import Metrics
from mesh.pipeline.answers import AnswerCache
from mesh.pipeline.exchange import Exchange, Next, Stage, as_bytes
from mesh.pipeline.protection import Malformed
from mesh.policy import MethodPolicy

_PAGED: Final = "page_size"
"""A request that has this field asks for a list (AIP-158)."""


class NobodysContext:
    """Stands in for the caller's context: an answer for everybody must not depend on who happens to ask first."""

    def __getattr__(self, name: str) -> NoReturn:
        raise LookupError(f"context.{name}: the answer of a cached method is for everybody; its handler sees no caller")


def is_cached(policy: MethodPolicy) -> bool:
    """Whether answers of a method are remembered: only those that anybody may have, and that change nothing."""
    return (
        policy.cache_ttl is not None and policy.public_read and not (policy.client_streaming or policy.server_streaming)
    )


def cache_stage(answers: AnswerCache, metrics: Metrics) -> Stage:
    """Answers out of the cache, or else reads as nobody in particular and remembers the answer.

    Behind this stage there is no person and no calling workload, so that no answer can depend on one. Errors are not
    remembered.
    """

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        path = policy.path
        ttl = policy.cache_ttl.total_seconds() if policy.cache_ttl else 0.0
        longest = policy.deadline.total_seconds()
        hits = metrics.cache_hits.labels(path.lstrip("/"))
        misses = metrics.cache_misses.labels(path.lstrip("/"))

        async def answer(exchange: Exchange) -> Any:
            request = exchange.request
            if isinstance(request, Malformed):
                return await proceed(exchange)  # validation refuses it
            key = (path, request.SerializeToString(deterministic=True))
            known = answers.find(key)
            if known is not None:
                hits.inc()
                return known
            misses.inc()
            return await answers.read(
                key, lambda: read(exchange), ttl=ttl, open_ended=_PAGED in request.DESCRIPTOR.fields_by_name
            )

        async def read(first: Exchange) -> bytes:
            # Those who wait may have more time than the one who came first: the contract's own deadline counts.
            deadline = asyncio.get_running_loop().time() + longest
            call = replace(first.call, subject=None, caller=None, deadline=deadline)
            enter(call)
            timer = asyncio.timeout(longest)
            try:
                async with timer:
                    response = await proceed(Exchange(policy, first.request, NobodysContext(), {}, call))
            except TimeoutError as over:
                if not timer.expired():
                    raise
                raise DeadlineExceeded("DEADLINE_OVER", "the call took longer than it may") from over
            return as_bytes(response)

        return answer

    return stage
