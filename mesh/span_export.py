"""Sends spans to a collector over OTLP. Encoding a span costs more than making one, and most of them are alike."""

from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import ReadableSpan

from mesh.spans import ServerSpan

MAX_TEMPLATES: Final = 1000
"""A method has one for each way its calls end; where somebody notes more in a span, they are made anew."""


class SpanExporter(OTLPSpanExporter):
    """OpenTelemetry's exporter, which encodes the spans of calls from templates.

    The first of its likeness is encoded as OpenTelemetry does it; of those that follow only ids and times are written,
    which takes a twentieth. All other spans go as ever.
    """

    _templates: dict[tuple[object, ...], trace_pb2.Span]

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._templates = {}

    def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        return self.encode(data)

    def encode(self, spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        """The request that tells a collector of spans.

        Those of calls have one tracer, and with it one resource and one scope.
        """
        alike: list[tuple[ServerSpan, tuple[object, ...]]] = []
        others: list[ReadableSpan] = []
        for span in spans:
            likeness = span.likeness() if isinstance(span, ServerSpan) else None
            if isinstance(span, ServerSpan) and likeness is not None:
                alike.append((span, likeness))
            else:
                others.append(span)
        request = encode_spans(others)
        if alike:
            calls = encode_spans([alike[0][0]])  # with resource and scope around it, in OpenTelemetry's words
            encoded = calls.resource_spans[0].scope_spans[0].spans
            for span, likeness in alike[1:]:
                encoded.append(self._template(span, likeness))
                _identify(encoded[-1], span)
            request.MergeFrom(calls)
        return request

    def _template(self, span: ServerSpan, likeness: tuple[object, ...]) -> trace_pb2.Span:
        known = self._templates.get(likeness)
        if known is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            known = self._templates[likeness] = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
        return known


def _identify(encoded: trace_pb2.Span, span: ServerSpan) -> None:
    """Writes into a copy of a template what no two spans have in common."""
    context, parent = span.get_span_context(), span.parent
    encoded.trace_id = context.trace_id.to_bytes(16)
    encoded.span_id = context.span_id.to_bytes(8)
    if parent is not None:
        encoded.parent_span_id = parent.span_id.to_bytes(8)
    encoded.start_time_unix_nano = span.start_time or 0
    encoded.end_time_unix_nano = span.end_time or 0
