"""The span of a call: a collector hears of it what OpenTelemetry's own span would say, and it is exported like any."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from mesh.span_export import SpanExporter
from mesh.spans import ServerSpan
from mesh.tracing import extract, server_spans, tracer
from tests.mesh.recording import Recording, recording

TRACEPARENT = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
ATTRIBUTES = {"rpc.system.name": "grpc", "rpc.method": "m"}
OTHER = SpanContext(3, 4, is_remote=True, trace_flags=TraceFlags(1))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recording:
    return recording(monkeypatch, ratio=1.0)


@pytest.fixture
def exporter() -> Iterator[SpanExporter]:
    exporter = SpanExporter("http://127.0.0.1:1")
    yield exporter
    exporter.shutdown()


def succeed(span: Span) -> None:
    span.set_attribute("rpc.response.status_code", "OK")


def fail(span: Span) -> None:
    span.set_attribute("rpc.response.status_code", "INTERNAL")
    span.set_status(Status(StatusCode.ERROR, "INTERNAL_ERROR"))


def tell_much(span: Span) -> None:
    span.set_attributes({"tries": 3, "ids": ["a", "b"]})
    span.add_event("seen", {"what": "a"}, 17)
    span.add_link(OTHER)
    span.update_name("another")
    span.set_status(StatusCode.OK)
    span.set_status(StatusCode.ERROR, "comes too late")


def raise_inside(span: Span) -> None:
    try:
        int("a")
    except ValueError as error:
        span.record_exception(error, {"more": 1}, timestamp=17)


@pytest.mark.parametrize("headers", [{}, TRACEPARENT], ids=["root", "child"])
@pytest.mark.parametrize("happen", [succeed, fail, tell_much, raise_inside])
def test_a_span_of_a_call_says_what_opentelemetrys_own_would_say(
    recorded: Recording, headers: dict[str, str], happen: Any
) -> None:
    own, stock = server_spans("m", ATTRIBUTES)(headers), stock_span(headers)
    for span in (own, stock):
        happen(span)
        span.end(9_000_000_000)
        happen(span)  # nothing is noted any more

    assert isinstance(own, ServerSpan)
    first, second = (encode_spans([each]) for each in recorded.spans())
    for request in (first, second):
        encoded = request.resource_spans[0].scope_spans[0].spans[0]
        assert (encoded.trace_id == bytes.fromhex("ab" * 16)) is bool(headers)
        for field in ("trace_id", "span_id", "start_time_unix_nano"):
            encoded.ClearField(field)
    assert first == second


def test_spans_written_from_templates_are_those_that_opentelemetry_writes(
    recorded: Recording, exporter: SpanExporter
) -> None:
    for happen in (succeed, fail, succeed, tell_much, raise_inside, fail):
        for headers in ({}, TRACEPARENT, {}):
            for each in (server_spans("m", ATTRIBUTES)(headers), server_spans("n", {})(headers), stock_span(headers)):
                happen(each)
                each.end()

    spans = recorded.spans()
    for _ in range(2):  # the second time all templates are there
        request = exporter.encode(spans)
        assert by_id(request) == by_id(encode_spans(spans))
        assert {each.resource.SerializeToString() for each in request.resource_spans} == {
            encode_spans(spans[:1]).resource_spans[0].resource.SerializeToString()
        }
        assert {scope.scope.name for each in request.resource_spans for scope in each.scope_spans} == {"zoco.mesh"}


def test_spans_begun_inside_are_children_of_the_calls(recorded: Recording) -> None:
    call = server_spans("m", ATTRIBUTES)(TRACEPARENT)
    with trace.use_span(call, end_on_exit=True), tracer().start_as_current_span("inside"):
        pass

    inside, outside = recorded.spans()
    assert inside.parent == outside.context
    assert inside.context.trace_id == outside.context.trace_id


def test_spans_that_wait_are_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[trace_service_pb2.ExportTraceServiceRequest] = []
    provider = recording(monkeypatch, ratio=1.0).provider
    encoded_by_us: list[int] = []
    encode = SpanExporter.encode

    def counted(exporter: SpanExporter, spans: Any) -> Any:
        encoded_by_us.append(len(spans))
        return encode(exporter, spans)

    # What the stock exporter calls has no public name; should it call something else one day, this tells.
    monkeypatch.setattr(SpanExporter, "encode", counted)
    with collector(received) as address:
        provider.add_span_processor(BatchSpanProcessor(SpanExporter(address)))
        span = server_spans("m", ATTRIBUTES)(TRACEPARENT)
        span.end()
        provider.shutdown()

    (encoded,) = by_id(received[0]).values()
    assert (encoded.name, encoded.span_id) == ("m", span.get_span_context().span_id.to_bytes(8))
    assert encoded_by_us == [1]


@contextmanager
def collector(received: list[trace_service_pb2.ExportTraceServiceRequest]) -> Iterator[str]:
    """The address of a collector that keeps what it receives."""

    class Collector(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            received.append(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(), server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None).wait()


def stock_span(headers: dict[str, str]) -> Span:
    return tracer().start_span("m", extract(headers), SpanKind.SERVER, ATTRIBUTES)


def by_id(request: trace_service_pb2.ExportTraceServiceRequest) -> dict[bytes, trace_pb2.Span]:
    """The spans of a request."""
    scopes = [scope for each in request.resource_spans for scope in each.scope_spans]
    return {span.span_id: span for scope in scopes for span in scope.spans}
