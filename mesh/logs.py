"""Structured logs: one JSON line an event on stderr, colour on a terminal, nothing secret in either."""

import asyncio
import logging
import re
import sys
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TextIO, TypeVar

import structlog
from opentelemetry import trace

from mesh.call import find_call

T = TypeVar("T")

Fields = MutableMapping[str, Any]

REDACTED: Final = "[redacted]"

MAX_DELAY: Final = 0.05
"""Seconds that a line of the access log may wait for others to be written with."""

_SECRET_NAME: Final = re.compile(
    r"password|secret|authorization|refresh_token|access_token|payment_token|cookie", re.IGNORECASE
)
# JWTs, the sandbox's and Stripe's card tokens, and runs of digits as long as a card number (ISO/IEC 7812).
_SECRET_VALUE: Final = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\b(?:tok|pm|sk|rk|whsec)_\w{4,}|(?<![\w-])(?:\d[ -]?){12,18}\d(?![\w-])"
)


class LogSettings(Protocol):
    """What of a process's settings is about its logs."""

    @property
    def log_level(self) -> str:
        """Least severe level that is written."""

    @property
    def log_format(self) -> str | None:
        """`json` or `console`; without it, console on a terminal and JSON elsewhere."""


class Lines:
    """A stream of whole lines. What may wait a moment is written together with what follows, and never overtaken.

    Args:
        stream: Where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: deque[tuple[Any, Callable[[Any], str]]] = deque()

    def later(self, told: T, render: Callable[[T], str] = str) -> None:
        """Writes a line within MAX_DELAY, and makes it only then. For the thread of the event loop.

        Args:
            told: What the line is to say; the line itself unless there is something that makes it.
            render: Makes the line. In whichever thread writes first.
        """
        if not self._waiting:
            asyncio.get_running_loop().call_later(MAX_DELAY, self.flush)
        self._waiting.append((told, render))

    def write(self, text: str) -> None:
        """Writes at once, after what waits."""
        self._write(self._taken() + text)

    def flush(self) -> None:
        """Writes what waits."""
        self._write(self._taken())

    def _taken(self) -> str:
        lines = []
        while self._waiting:
            told, render = self._waiting.popleft()
            lines.append(render(told))
        return "".join(lines)

    def _write(self, text: str) -> None:
        if not self._stream.closed:  # it is when the interpreter ends: nobody is left to read, and nobody to tell
            self._stream.write(text)
            self._stream.flush()


@dataclass(frozen=True)
class JsonLog:
    """A log of JSON lines, for those who render their own: the access log writes one a call."""

    workload: str
    level: int
    """The least severe that is written, as `logging` counts."""
    lines: Lines


def configure_logs(settings: LogSettings, workload: str) -> JsonLog | None:
    """Sets structlog and the standard library's logging up for this process. Call once, at start.

    Returns:
        The log, if it is one of JSON lines; flush its lines at the end.
    """
    console = settings.log_format == "console" or (settings.log_format is None and sys.stderr.isatty())
    lines = Lines(sys.stderr)
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
        logger_factory=structlog.WriteLoggerFactory(lines),  # type: ignore[arg-type]  # it writes and flushes, no more
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    return None if console else JsonLog(workload, level, lines)


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
            fields[name] = redacted(value)
    return fields


def redacted(text: str) -> str:
    """A text without what looks like a secret in it."""
    return _SECRET_VALUE.sub(REDACTED, text)


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
