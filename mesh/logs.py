"""Structured logs: one JSON line an event on stderr, colour on a terminal, nothing secret in either."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from opentelemetry import trace

from mesh.call import find_call
from mesh.settings import MeshSettings

Fields = MutableMapping[str, Any]

REDACTED: Final = "[redacted]"

_SECRET_NAME: Final = re.compile(
    r"password|secret|authorization|refresh_token|access_token|payment_token|cookie", re.IGNORECASE
)
# JWTs, the sandbox's and Stripe's card tokens, and runs of digits as long as a card number (ISO/IEC 7812).
_SECRET_VALUE: Final = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\b(?:tok|pm|sk|rk|whsec)_\w{4,}|(?<![\w-])(?:\d[ -]?){12,18}\d(?![\w-])"
)


def configure_logs(settings: MeshSettings, workload: str) -> None:
    """Sets structlog and the standard library's logging up for this process. Call once, at start."""
    console = settings.log_format == "console" or (settings.log_format is None and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", key="time"),
        _identify(workload),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    level = logging.getLevelName(settings.log_level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines say which part of the code speaks."""
    bound: structlog.stdlib.BoundLogger = structlog.get_logger(part=name)
    return bound


def redact(_: Any, __: str, fields: Fields) -> Fields:
    """Blanks fields whose name or content looks like a secret. The last line of defence, not the first."""
    for name, value in fields.items():
        if _SECRET_NAME.search(name):
            fields[name] = REDACTED
        elif isinstance(value, str):
            fields[name] = _SECRET_VALUE.sub(REDACTED, value)
    return fields


def _identify(workload: str) -> structlog.types.Processor:
    def identify(_: Any, __: str, fields: Fields) -> Fields:
        fields["service"] = workload
        call = find_call()
        if call is not None:
            fields.setdefault("request_id", call.request_id)
            fields.setdefault("correlation_id", call.correlation_id)
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            fields["trace_id"] = format(span.trace_id, "032x")
            fields["span_id"] = format(span.span_id, "016x")
        return fields

    return identify
