"""An analytics service that runs in the test's process, fed over a real broker as other services' relays would."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.bus import Received
from mesh.bus.envelope import Envelope
from mesh.bus.nats import NatsBus
from mesh.bus.subjects import area_of
from mesh.errors import InvalidArgument, MeshError, from_rpc_error
from mesh.ids import uuid7
from mesh.wire import timestamp_to_proto
from services.analytics.__main__ import build
from services.analytics.settings import AnalyticsSettings
from tests.fixtures.servers import until
from tests.harness import Harness, ServiceUnderTest, Tokens
from zoco.analytics.v1 import analytics_service_pb2 as service
from zoco.analytics.v1 import report_pb2
from zoco.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub


def moment(time: datetime | None) -> Timestamp | None:
    """A time as it travels."""
    return None if time is None else timestamp_to_proto(time)


async def refused(call: Awaitable[Any]) -> MeshError:
    """The typed error a call ends with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    pytest.fail(f"was not refused: {answer}")


def assert_names(error: MeshError, field: str) -> None:
    """The error is about one field of the request."""
    assert isinstance(error, InvalidArgument)
    assert (error.reason, [each.field for each in error.field_violations]) == ("INVALID_FIELD", [field])


@dataclass(frozen=True)
class Shop:
    """A running analytics service, and a broker that tells it what happens."""

    service: ServiceUnderTest
    tokens: Tokens
    bus: NatsBus
    stubs: dict[str, Any] = field(default_factory=dict)

    @property
    def admin(self) -> Any:
        """The service as an administrator reaches it."""
        return self.stubs.setdefault("admin", AnalyticsServiceStub(self.service.channel("edge", self.tokens.admin())))

    def reached_with(self, token: str | None) -> Any:
        """The service as somebody else reaches it."""
        return AnalyticsServiceStub(self.service.channel("edge", token))

    async def publish(self, *events: Received[Any]) -> None:
        """Puts events on the broker, in this order, past its own check for repeated ids."""
        await until(lambda: self.bus.connected)
        for area in sorted({area_of(received.event.DESCRIPTOR.full_name) for received in events}):
            await self.bus.ensure_stream(area)
        results = await self.bus.publish([replace(_publication(received), id=uuid7()) for received in events])
        assert all(isinstance(result, int) for result in results), results

    async def hear(self, *events: Received[Any]) -> None:
        """Puts events on the broker and waits until the service has noted all of them."""
        await self.publish(*events)
        ids = {received.event_id for received in events}

        async def noted() -> bool:
            async with self.service.database.reading() as connection:
                rows = await connection.exec_driver_sql("SELECT event_id::text FROM inbox")
                return ids <= set(rows.scalars())

        await until(noted)

    async def summary(self, start: datetime | None = None, end: datetime | None = None) -> report_pb2.Summary:
        """The summary of a period."""
        summary: report_pb2.Summary = await self.admin.GetSummary(
            service.GetSummaryRequest(start_time=moment(start), end_time=moment(end))
        )
        return summary


@pytest.fixture
async def bus(nats: str) -> AsyncIterator[NatsBus]:
    bus = NatsBus(nats, name="neighbours")
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def shop(harness: Harness, tokens: Tokens, bus: NatsBus) -> AsyncIterator[Shop]:
    async with harness.running("analytics", build, settings=AnalyticsSettings) as running:
        yield Shop(running, tokens, bus)


def _publication(received: Received[Message]) -> Any:
    envelope = Envelope(
        event_id=received.event_id,
        type=received.event.DESCRIPTOR.full_name,
        source="/zoco/test",
        aggregate_id=received.aggregate_id,
        version=received.version,
        time=received.time,
        correlation_id=received.correlation_id,
    )
    return envelope.publication(received.event.SerializeToString())
