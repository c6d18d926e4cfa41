"""The stage that keeps looking after the check: a stream outlives it, and ends when its token is revoked."""

from typing import Any

from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.policy import MethodPolicy
from mesh.revocation import Revocations


def standing_stage(revocations: Revocations) -> Stage:
    """Ends a stream with TOKEN_INVALID as soon as this process hears that its token was revoked."""

    def stage(_: MethodPolicy, proceed: Next) -> Next:
        async def stand(exchange: Exchange) -> Any:
            subject = exchange.call.subject
            if subject is None:
                return await proceed(exchange)
            async with revocations.standing(subject.id, subject.issued_at):
                return await proceed(exchange)

        return stand

    return stage
