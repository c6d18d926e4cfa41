"""Traces: W3C context over gRPC and through the broker, spans to an OTLP collector where there is one."""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
)
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh.settings import MeshSettings
from mesh.span_export import SpanExporter
from mesh.spans import SCOPE, ServerSpan

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_propagator: Final = TraceContextTextMapPropagator()

OpenSpan = Callable[[Mapping[str, str]], Span]
"""Opens a span under the trace context that a call's headers hold."""

# Version 00 of the header, which is all there is (W3C Trace Context, 3.2). What looks otherwise goes the long way.
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

_SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""Where a context holds its span; OpenTelemetry tells it no other way."""

_ROOT: Final = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)
"""Of a trace that begins here and is recorded."""


class _MappingGetter(Getter[Mapping[str, str]]):
    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        value = carrier.get(key)
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


_getter: Final = _MappingGetter()


def configure_tracing(settings: MeshSettings, workload: str) -> TracerProvider:
    """Sets the process's tracer provider up; call once, at start. Shut the returned provider down at the end.

    Without a collector no span is exported, but ids are made and travel, so that logs can be joined.
    """
    provider = TracerProvider(
        sampler=sampler(settings.trace_ratio),
        resource=Resource.create({"service.name": workload, "service.namespace": "zoco"}),
    )
    if settings.otlp_endpoint:
        provider.add_span_processor(BatchSpanProcessor(SpanExporter(settings.otlp_endpoint)))
    trace.set_tracer_provider(provider)
    # Baggage from outside is not trusted, so the trace context alone travels.
    propagate.set_global_textmap(_propagator)
    return provider


def sampler(ratio: float) -> ParentBased:
    """What samples as the caller does, and that share of the traces that begin here."""
    return _Sampler(ratio)


def tracer() -> trace.Tracer:
    """The tracer of the mesh."""
    return trace.get_tracer(SCOPE.name)


def extract(headers: Mapping[str, str]) -> Context:
    """The trace context that came with a call or a message."""
    return _propagator.extract(headers, getter=_getter)


def inject() -> Iterable[tuple[str, str]]:
    """The headers that carry the present trace context to a neighbour."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    headers = [(TRACEPARENT, f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}")]
    if context.trace_state:
        headers.append((TRACESTATE, context.trace_state.to_header()))
    return headers


def server_spans(name: str, attributes: Mapping[str, str]) -> OpenSpan:
    """What opens the server spans of one method, each under its caller's.

    Nine spans of ten are seen by nobody, and building one costs as much as many a call. So it is decided first: the
    caller's flag says whether a trace is sampled, and where the trace begins here, the ratio does. What is not sampled
    gets ids alone, for the log and for neighbours (docs/decisions/021).
    """
    own, decides = tracer(), getattr(trace.get_tracer_provider(), "sampler", None)

    def unusual(headers: Mapping[str, str]) -> Span:
        return own.start_span(
            name, extract(headers), SpanKind.SERVER, attributes, record_exception=False, set_status_on_exception=False
        )

    if not isinstance(decides, _Sampler) or not isinstance(own, Tracer):
        return unusual  # somebody else's provider decides for itself
    ratio, recorder = decides.ratio, own

    def open_span(headers: Mapping[str, str]) -> Span:
        parent = headers.get(TRACEPARENT)
        if parent is None:
            trace_id, span_id = random.getrandbits(128), random.getrandbits(64)
            if random.random() >= ratio:  # noqa: S311 - no secret
                return _Unsampled(trace_id, span_id, TraceFlags.RANDOM_TRACE_ID)
            return ServerSpan(name, SpanContext(trace_id, span_id, False, _ROOT), None, attributes, recorder)
        known = _TRACEPARENT.fullmatch(parent)
        if known is None or headers.get(TRACESTATE):  # Envoy sends an empty one, which says nothing
            return unusual(headers)
        trace_id, span_id, flags = int(known[1], 16), random.getrandbits(64), int(known[3], 16) & _ROOT
        if not flags & TraceFlags.SAMPLED:
            return _Unsampled(trace_id, span_id, flags)
        caller = SpanContext(trace_id, int(known[2], 16), True, TraceFlags(int(known[3], 16)))
        return ServerSpan(name, SpanContext(trace_id, span_id, False, TraceFlags(flags)), caller, attributes, recorder)

    return open_span


def enter(span: Span) -> None:
    """Makes a span the current one for the rest of this task. For tasks that serve exactly one call."""
    attach(Context({_SPAN_KEY: span}))


def ids_of(span: Span) -> tuple[int, int] | None:
    """Trace id and span id, for a log line; None where there is no trace."""
    if isinstance(span, _Unsampled):
        return span.trace_id, span.span_id
    context = span.get_span_context()
    return (context.trace_id, context.span_id) if context.is_valid else None


class _Unsampled(NonRecordingSpan):
    """A span that is not sampled: ids alone. Its context is made for those who ask, which most calls never do."""

    def __init__(self, trace_id: int, span_id: int, flags: int) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self._flags = flags

    def get_span_context(self) -> SpanContext:
        """The ids as OpenTelemetry knows them (opentelemetry.trace.Span)."""
        return SpanContext(self.trace_id, self.span_id, False, TraceFlags(self._flags))

    def __repr__(self) -> str:
        return f"_Unsampled({self.get_span_context()!r})"


class _Sampler(ParentBased):
    def __init__(self, ratio: float) -> None:
        super().__init__(TraceIdRatioBased(ratio))
        self.ratio: Final = ratio
