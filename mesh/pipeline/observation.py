"""Stages that watch a call from outside: tracing, metrics, access log."""

import time
from functools import cache
from typing import Any, Final

import grpc
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Histogram

from mesh import tracing
from mesh.call import enter
from mesh.logs import logger
from mesh.metrics import Metrics
from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.policy import MethodPolicy

_log = logger("rpc")

# Codes that are the server's fault by OpenTelemetry's RPC conventions; the others are answers.
_SERVER_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


def trace_stage(policy: MethodPolicy, proceed: Next) -> Next:
    """Opens a server span under the caller's, and makes the call the current one."""
    name = policy.path.lstrip("/")
    tracer = tracing.tracer()
    attributes = {"rpc.system.name": "grpc", "rpc.method": name}

    async def trace(exchange: Exchange) -> Any:
        enter(exchange.call)
        with tracer.start_as_current_span(
            name,
            context=tracing.extract(exchange.metadata),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await proceed(exchange)
            finally:
                if span.is_recording():
                    span.set_attribute("rpc.response.status_code", exchange.code.name)
                    if exchange.code in _SERVER_FAULTS:
                        span.set_status(Status(StatusCode.ERROR, exchange.reason))

    return trace


def metrics_stage(metrics: Metrics) -> Stage:
    """Counts and times calls by method and status."""

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        method = policy.path.lstrip("/")
        in_flight = metrics.in_flight.labels(method)

        @cache  # finding a label's child costs more than counting
        def duration(code: grpc.StatusCode) -> Histogram:
            return metrics.server_duration.labels(method, code.name)

        async def measure(exchange: Exchange) -> Any:
            started = time.perf_counter()
            in_flight.inc()
            try:
                return await proceed(exchange)
            finally:
                in_flight.dec()
                duration(exchange.code).observe(time.perf_counter() - started)

        return measure

    return stage


def access_log_stage(policy: MethodPolicy, proceed: Next) -> Next:
    """Writes one line a call: what was called by whom, how it ended, how long it took."""
    method = policy.path

    async def log(exchange: Exchange) -> Any:
        started = time.perf_counter()
        try:
            return await proceed(exchange)
        finally:
            call = exchange.call
            fields: dict[str, Any] = {
                "method": method,
                "code": exchange.code.name,
                "duration_ms": round((time.perf_counter() - started) * 1000, 2),
                "caller": call.caller,
            }
            if exchange.reason:
                fields["reason"] = exchange.reason
            if call.subject:
                fields["subject"] = call.subject.id
            rest_path = exchange.metadata.get("x-envoy-original-path")
            if rest_path:
                fields["rest_path"] = rest_path.partition("?")[0][:256]
            write = _log.error if exchange.code in _SERVER_FAULTS else _log.info
            write("call", **fields)

    return log
