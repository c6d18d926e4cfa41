"""Server spans: which trace a call joins, which spans are built, and what neighbours are told."""

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.trace import Span

from mesh.spans import ServerSpan
from mesh.tracing import enter, inject, server_spans
from tests.mesh.recording import Recording, recording

TRACE, SPAN = "ab" * 16, "cd" * 8


async def headers_inside(span: Span) -> dict[str, str]:
    """What a neighbour is told that is called inside a span."""

    async def ask() -> dict[str, str]:
        enter(span)
        return dict(inject())

    return await asyncio.create_task(ask())


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> Recording:
    return recording(monkeypatch, ratio=0.0)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> Recording:
    return recording(monkeypatch, ratio=1.0)


@pytest.mark.parametrize("flags", ["00", "02"])
async def test_a_trace_that_is_not_sampled_goes_on_under_its_id_unrecorded(always: Recording, flags: str) -> None:
    span = server_spans("m", {})({"traceparent": f"00-{TRACE}-{SPAN}-{flags}"})

    told = (await headers_inside(span))["traceparent"].split("-")
    assert not span.is_recording()
    assert (told[1], told[3]) == (TRACE, flags)
    assert told[2] != SPAN


async def test_a_sampled_trace_is_recorded_under_its_parent_whatever_the_ratio(never: Recording) -> None:
    span = server_spans("m", {"rpc.method": "m"})({"traceparent": f"00-{TRACE}-{SPAN}-01"})
    span.end()

    (recorded,) = never.spans()
    assert recorded.parent is not None
    assert (f"{recorded.parent.trace_id:032x}", f"{recorded.parent.span_id:016x}") == (TRACE, SPAN)
    assert dict(recorded.attributes or {}) == {"rpc.method": "m"}
    assert (await headers_inside(span))["traceparent"] == f"00-{TRACE}-{recorded.context.span_id:016x}-01"


def test_a_trace_that_begins_here_is_recorded_by_the_ratio(never: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not server_spans("m", {})({}).is_recording()
    recording(monkeypatch, ratio=1.0)
    assert server_spans("m", {})({}).is_recording()


async def test_a_trace_that_begins_here_unrecorded_has_ids_for_log_and_neighbours(never: Recording) -> None:
    first, second = (server_spans("m", {})({}).get_span_context() for _ in range(2))

    assert first.is_valid
    assert first.trace_id != second.trace_id
    assert not first.trace_flags.sampled


@pytest.mark.parametrize(
    "parent",
    [
        "garbage",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
def test_a_trace_context_that_is_none_begins_a_new_trace(never: Recording, parent: str) -> None:
    context = server_spans("m", {})({"traceparent": parent}).get_span_context()

    assert context.is_valid
    assert f"{context.trace_id:032x}" != TRACE
    assert not context.trace_flags.sampled


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known(never: Recording) -> None:
    span = server_spans("m", {})({"traceparent": f"01-{TRACE}-{SPAN}-01-more"})

    assert f"{span.get_span_context().trace_id:032x}" == TRACE
    assert span.is_recording()


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_what_other_tracers_noted_in_the_trace_goes_on(never: Recording, flags: str) -> None:
    span = server_spans("m", {})({"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "tracestate": "vendor=1"})

    assert (await headers_inside(span))["tracestate"] == "vendor=1"


def test_an_empty_trace_state_as_envoy_sends_it_is_none_and_costs_nothing(never: Recording) -> None:
    span = server_spans("m", {})({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": ""})

    assert isinstance(span, ServerSpan)  # OpenTelemetry's own takes several times as long to make
    assert f"{span.get_span_context().trace_id:032x}" == TRACE


def test_spans_begun_inside_follow_the_calls(never: Recording) -> None:
    inside = trace.set_span_in_context(server_spans("m", {})({"traceparent": f"00-{TRACE}-{SPAN}-00"}))

    assert not trace.get_tracer("t").start_span("child", inside).is_recording()


async def test_outside_of_a_trace_neighbours_are_told_nothing() -> None:
    assert dict(inject()) == {}
