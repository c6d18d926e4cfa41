"""Traces: W3C context over gRPC and through the broker, spans to an OTLP collector where there is one."""

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh.settings import MeshSettings

TRACEPARENT: Final = "traceparent"

_propagator: Final = TraceContextTextMapPropagator()


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
        sampler=ParentBasedTraceIdRatio(settings.trace_ratio),
        resource=Resource.create({"service.name": workload, "service.namespace": "zoco"}),
    )
    if settings.otlp_endpoint:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.otlp_endpoint)))
    trace.set_tracer_provider(provider)
    # Baggage from outside is not trusted, so the trace context alone travels.
    propagate.set_global_textmap(_propagator)
    return provider


def tracer() -> trace.Tracer:
    """The tracer of the mesh."""
    return trace.get_tracer("zoco.mesh")


def extract(headers: Mapping[str, str]) -> Context:
    """The trace context that came with a call or a message."""
    return _propagator.extract(headers, getter=_getter)


def inject() -> Iterable[tuple[str, str]]:
    """The headers that carry the present trace context to a neighbour."""
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    return headers.items()
