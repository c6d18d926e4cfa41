"""How a call is refused: one status with details, counted."""

import math
from typing import Final

from mesh.errors import STATUS_DETAILS_KEY, MeshError, to_status
from mesh.metrics import Metrics
from mesh.pipeline.exchange import Exchange
from mesh.pipeline.idempotency import StoredError

RETRY_AFTER: Final = "retry-after"


async def refuse(exchange: Exchange, error: MeshError, metrics: Metrics, *, stage: str = "service") -> None:
    """Ends a call with an error, and counts it under the stage that refuses.

    Raises:
        grpc.aio.AbortError: Always; that is how grpc.aio ends a call.
    """
    exchange.code, exchange.reason = error.code, error.reason
    metrics.refusals.labels(stage, error.reason).inc()
    trailers: list[tuple[str, str | bytes]] = [(STATUS_DETAILS_KEY, _render(error, exchange))]
    if error.retry_after is not None:
        # For whoever reads no details: the edge turns it into the header (RFC 9110, 10.2.3), in whole seconds.
        trailers.append((RETRY_AFTER, str(max(1, math.ceil(error.retry_after.total_seconds())))))
    await exchange.context.abort(error.code, error.message, tuple(trailers))


def _render(error: MeshError, exchange: Exchange) -> bytes:
    if isinstance(error, StoredError):
        return error.status
    status: bytes = to_status(error, request_id=exchange.call.request_id).SerializeToString()
    return status
