"""The access log: one line a call, what was called by whom, how it ended, how long it took."""

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

import grpc

from mesh.logs import JsonLog, logger, redacted
from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.policy import MethodPolicy
from mesh.tracing import ids_of

SERVER_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that are the server's fault by OpenTelemetry's RPC conventions; the others are answers."""

WriteCall = Callable[[Exchange, float], None]
"""Writes the line of a call that took so many seconds."""

_PART: Final = "rpc"
_EVENT: Final = "call"

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What ids are that were made here: nothing in them is to be hidden or quoted."""

_log = logger(_PART)


def access_log_stage(json_log: JsonLog | None) -> Stage:
    """Writes one line a call.

    Args:
        json_log: Where it is rendered to directly; without one it goes the way of all other lines.
    """

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        write = _structured(policy) if json_log is None else _rendered(policy, json_log)

        async def log(exchange: Exchange) -> Any:
            started = time.perf_counter()
            try:
                return await proceed(exchange)
            finally:
                write(exchange, time.perf_counter() - started)

        return log

    return stage


def _structured(policy: MethodPolicy) -> WriteCall:
    """Writes through structlog, whose processors add time, service, ids and trace."""

    def write(exchange: Exchange, seconds: float) -> None:
        call = exchange.call
        fields: dict[str, Any] = {
            "method": policy.path,
            "code": exchange.code.name,
            "duration_ms": round(seconds * 1000, 2),
            "caller": call.caller,
        }
        if exchange.reason:
            fields["reason"] = exchange.reason
        if call.subject:
            fields["subject"] = call.subject.id
        if rest_path := _rest_path(exchange):
            fields["rest_path"] = rest_path
        (_log.error if exchange.code in SERVER_FAULTS else _log.info)(_EVENT, **fields)

    return write


def _rendered(policy: MethodPolicy, log: JsonLog) -> WriteCall:
    """Writes the same line in one go: it is written on every call, and a chain of processors costs ten times that."""
    head = f'{{"part": "{_PART}", "event": "{_EVENT}", "service": {quoted(log.workload)}, "method": "{policy.path}"'

    timestamp = _Timestamps()

    def write(exchange: Exchange, seconds: float) -> None:
        code = exchange.code
        failed = code is not grpc.StatusCode.OK and code in SERVER_FAULTS
        if (logging.ERROR if failed else logging.INFO) < log.level:
            return
        call, trace = exchange.call, ids_of(exchange.span)
        request_id = _text(call.request_id)
        correlation_id = request_id if call.correlation_id == call.request_id else _text(call.correlation_id)
        line = (
            f'{head}, "code": "{code._name_}", "duration_ms": {seconds * 1000:.2f}, "caller": '
            f'{"null" if call.caller is None else quoted(call.caller)}, "level": "{"error" if failed else "info"}", '
            f'"time": "{timestamp()}", "request_id": {request_id}, '
            f'"correlation_id": {correlation_id}'
        )
        if trace is not None:
            line += f', "trace_id": "{trace[0]:032x}", "span_id": "{trace[1]:016x}"'
        if exchange.reason:
            line += f', "reason": "{exchange.reason}"'
        if call.subject:
            line += f', "subject": {_text(call.subject.id)}'
        if rest_path := _rest_path(exchange):
            line += f', "rest_path": {_text(rest_path)}'
        (log.lines.write if failed else log.lines.later)(line + "}\n")

    return write


class _Timestamps:
    """The time as structlog writes it, to the microsecond. What changes once a second is written once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._text = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._text}.{nanoseconds // 1000:06d}Z"


def _rest_path(exchange: Exchange) -> str:
    path = exchange.metadata.get("x-envoy-original-path")
    return path.partition("?")[0][:256] if path else ""


def _text(value: str) -> str:
    """A text from outside as JSON, with nothing secret in it."""
    return f'"{value}"' if _UUID.fullmatch(value) else quoted(redacted(value))
