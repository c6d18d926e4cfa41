"""A caller that is instrumented by OpenTelemetry's own gRPC package gets one trace through our services."""

from collections.abc import Sequence

import grpc
import pytest
from opentelemetry.instrumentation.grpc import aio_client_interceptors
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from mesh.credentials import client_credentials
from tests.mesh.conftest import RunningProbe
from tests.mesh.recording import recording


async def test_an_instrumented_client_and_our_server_join_one_trace(
    probe: RunningProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = recording(monkeypatch, ratio=1.0)
    async with instrumented(probe) as channel:
        await probe.contract.stubs.ProbeServiceStub(channel).Echo(probe.messages.EchoRequest(text="hi"))

    client, server = _one(recorded.spans(), SpanKind.CLIENT), _one(recorded.spans(), SpanKind.SERVER)
    assert server.context.trace_id == client.context.trace_id
    assert server.parent is not None
    assert server.parent.span_id == client.context.span_id
    assert server.parent.is_remote
    assert server.name == "probe.v1.ProbeService/Echo"


async def test_a_client_that_does_not_sample_leaves_our_server_unrecorded(
    probe: RunningProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = recording(monkeypatch, ratio=0.0)
    async with instrumented(probe) as channel:
        await probe.contract.stubs.ProbeServiceStub(channel).Echo(probe.messages.EchoRequest(text="hi"))

    assert not recorded.spans()


async def test_a_server_fault_is_an_error_in_both_spans(probe: RunningProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = recording(monkeypatch, ratio=1.0)
    async with instrumented(probe) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await probe.contract.stubs.ProbeServiceStub(channel).Misbehave(probe.messages.EchoRequest(text="crash"))

    server = _one(recorded.spans(), SpanKind.SERVER)
    assert not server.status.is_ok
    assert dict(server.attributes or {})["rpc.response.status_code"] == "INTERNAL"
    assert not _one(recorded.spans(), SpanKind.CLIENT).status.is_ok


def instrumented(probe: RunningProbe) -> grpc.aio.Channel:
    """A channel of somebody who uses the stock package, with the edge's certificate."""
    return grpc.aio.secure_channel(
        probe.service.address,
        client_credentials(probe.service.pki / "edge"),
        options=(("grpc.ssl_target_name_override", probe.service.workload),),
        interceptors=aio_client_interceptors(),  # type: ignore[no-untyped-call]  # the package has no types
    )


def _one(spans: Sequence[ReadableSpan], kind: SpanKind) -> ReadableSpan:
    (span,) = (each for each in spans if each.kind is kind)
    return span
