"""The span of a call that is served: what OpenTelemetry's own would tell, at less cost.

It is one of OpenTelemetry's spans to whoever asks: the processors and exporters of the process get it like any other,
and spans begun inside are its children.
"""

import time
import traceback
from collections.abc import Mapping
from typing import Final

from opentelemetry.sdk.trace import Event, ReadableSpan, Tracer
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

SCOPE: Final = InstrumentationScope("zoco.mesh", "")
"""Who makes the mesh's spans, as collectors see it; the tracer of the same name writes the same."""

_UNSET: Final = Status(StatusCode.UNSET)


class ServerSpan(Span, ReadableSpan):
    """A span that is recorded, from its making until it is ended.

    OpenTelemetry's own guards it with a lock, cleans and bounds what is put into it, and is copied when it ends. Here
    one task writes it, and what it writes is ours.

    Args:
        name: Of the method.
        context: Its ids.
        parent: The caller's span; None where the trace begins here.
        attributes: Known at its beginning.
        tracer: Whose resource it has, and whose processors hear of it.
    """

    def __init__(
        self, name: str, context: SpanContext, parent: SpanContext | None, attributes: Mapping[str, str], tracer: Tracer
    ) -> None:
        self._ids = context
        self._noted: dict[str, AttributeValue] = dict(attributes)
        ReadableSpan.__init__(
            self,
            name,
            context,
            parent,
            tracer.resource,
            self._noted,
            kind=SpanKind.SERVER,
            status=_UNSET,
            start_time=time.time_ns(),
            instrumentation_scope=SCOPE,
        )
        self._processor = tracer.span_processor
        self._processor.on_start(self)  # type: ignore[arg-type]  # it asks for the SDK's own class; it is told of any

    def get_span_context(self) -> SpanContext:
        """Its ids (opentelemetry.trace.Span, as all that follows)."""
        return self._ids

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self._end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Notes something about the call."""
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Notes several things."""
        if self.is_recording():  # afterwards the exporter's thread reads it
            self._noted.update(attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Notes that something happened, now or at a time in nanoseconds since 1970."""
        if self.is_recording():
            self._events = (*self._events, Event(name, attributes, timestamp))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Notes that another span has to do with it."""
        if self.is_recording():
            self._links = (*self._links, Link(context, attributes))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Notes an exception, by OpenTelemetry's conventions."""
        kind = type(exception)
        told = {
            "exception.type": kind.__qualname__
            if kind.__module__ == "builtins"
            else f"{kind.__module__}.{kind.__qualname__}",
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**told, **(attributes or {})}, timestamp)

    def update_name(self, name: str) -> None:
        """Renames it."""
        if self.is_recording():
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Says how the call ended. What was said to be well stays so."""
        told = status if isinstance(status, Status) else Status(status, description)
        if (
            self.is_recording()
            and told.status_code is not StatusCode.UNSET
            and self._status.status_code is not StatusCode.OK
        ):
            self._status = told

    def end(self, end_time: int | None = None) -> None:
        """Ends it, now or at a time in nanoseconds since 1970, and hands it to the exporter; once."""
        if self._end_time is None:
            self._end_time = time.time_ns() if end_time is None else end_time
            self._processor.on_end(self)

    def likeness(self) -> tuple[object, ...] | None:
        """What it has in common with others: spans with the same one differ in ids and times alone.

        Returns:
            Something to compare; None for a span with more to it than a call that came and was answered.
        """
        attributes = tuple(self._noted.items())
        if self._events or self._links or self._ids.trace_state or not all(type(text) is str for _, text in attributes):
            return None
        return self._name, attributes, self._status.status_code, self._status.description, self._parent is None
