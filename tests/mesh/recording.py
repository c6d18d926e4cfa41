"""A tracer provider as a process has it, whose spans can be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mesh.tracing import sampler


@dataclass(frozen=True)
class Recording:
    """The spans that ended."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()


def recording(monkeypatch: pytest.MonkeyPatch, *, ratio: float) -> Recording:
    """Makes a provider the process's for one test; a process itself can set it only once."""
    recorded = Recording(TracerProvider(sampler=sampler(ratio)), InMemorySpanExporter())
    recorded.provider.add_span_processor(SimpleSpanProcessor(recorded.exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", recorded.provider)
    return recorded
