"""Stages that watch a call from outside: tracing and metrics. The access log has a file of its own."""

import time
from collections.abc import Awaitable
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from mesh import tracing
from mesh.call import enter
from mesh.durations import Duration
from mesh.metrics import Metrics
from mesh.pipeline.access_log import SERVER_FAULTS
from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.policy import MethodPolicy


def trace_stage(policy: MethodPolicy, proceed: Next) -> Next:
    """Opens a server span under the caller's, and makes it and the call the current ones."""
    name = policy.path.lstrip("/")
    open_span = tracing.server_spans(name, {"rpc.system.name": "grpc", "rpc.method": name})

    def trace(exchange: Exchange) -> Awaitable[Any]:
        span = exchange.span = open_span(exchange.metadata)
        enter(exchange.call)
        tracing.enter(span)
        return record(exchange, span) if span.is_recording() else proceed(exchange)

    async def record(exchange: Exchange, span: Span) -> Any:
        try:
            return await proceed(exchange)
        finally:
            span.set_attribute("rpc.response.status_code", exchange.code.name)
            if exchange.code in SERVER_FAULTS:
                span.set_status(Status(StatusCode.ERROR, exchange.reason))
            span.end()

    return trace


def metrics_stage(metrics: Metrics) -> Stage:
    """Counts and times calls by method and status."""

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        method = policy.path.lstrip("/")
        in_flight = 0
        metrics.in_flight.labels(method).set_function(lambda: in_flight)  # a number of our own: the gauge's has a lock

        durations = _ByCode(metrics, method)

        async def measure(exchange: Exchange) -> Any:
            nonlocal in_flight
            started = time.perf_counter()
            in_flight += 1
            try:
                return await proceed(exchange)
            finally:
                in_flight -= 1
                durations[exchange.code._name_].observe(time.perf_counter() - started)

        return measure

    return stage


class _ByCode(dict[str, Duration]):
    """The durations of one method by status code."""

    def __init__(self, metrics: Metrics, method: str) -> None:
        super().__init__()
        self._metrics = metrics
        self._method = method

    def __missing__(self, code: str) -> Duration:
        found = self[code] = self._metrics.server_duration.labels(self._method, code)
        return found
