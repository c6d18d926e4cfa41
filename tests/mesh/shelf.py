"""A service with what protects a process: remembered reads, rate limits, calls of every priority, a chain of calls."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from google.protobuf.message import Message
from sqlalchemy import text

from mesh.call import current_call
from mesh.errors import not_found
from mesh.service import Runtime, Service
from mesh.tuning import TUNING
from tests.harness import Harness, ServiceUnderTest
from tests.mesh.probe import ProbeContract
from zoco.inventory.v1.inventory_events_pb2 import StockAdjusted

WORKLOAD = "inventory"

_TABLE = text("CREATE TABLE IF NOT EXISTS thing (id uuid PRIMARY KEY, text text NOT NULL, owner_id text NOT NULL)")
_PUT = text(
    "INSERT INTO thing (id, text, owner_id) VALUES (:id, :text, :owner_id) "
    "ON CONFLICT (id) DO UPDATE SET text = excluded.text, owner_id = excluded.owner_id"
)
_GET = text("SELECT text, owner_id FROM thing WHERE id = :id")
_LIST = text("SELECT CAST(id AS text), text, owner_id FROM thing WHERE owner_id = :owner OR :owner = '' ORDER BY id")
_VERSION = text("SELECT coalesce(max(version), 0) + 1 FROM outbox WHERE aggregate_id = CAST(:id AS text)")


@dataclass(eq=False)
class Shelf:
    """Serves the contract; a test can hold its calls back and read off it what happened."""

    messages: ModuleType
    stubs: ModuleType
    runtime: Runtime[Any]
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Waiting calls go on when this is set."""
    seconds: float | None = None
    """Or after so long, if this says how long."""
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a remembered read has seen the database and has not answered."""
    hold_reads: asyncio.Event | None = None
    """If there is one, remembered reads wait for it between database and answer."""
    reads: int = 0
    waiting: int = 0
    begun: int = 0
    finished: int = 0
    abandoned: int = 0

    async def GetThing(self, request: Any, context: Any) -> Message:
        self.reads += 1
        async with self.runtime.database.reading() as connection:
            row = (await connection.execute(_GET, {"id": request.id})).one_or_none()
        await self._hold_read()
        if row is None:
            raise not_found("thing", request.id)
        return self._thing(request.id, row.text, row.owner_id)

    async def ListThings(self, request: Any, context: Any) -> Message:
        self.reads += 1
        async with self.runtime.database.reading() as connection:
            rows = (await connection.execute(_LIST, {"owner": request.owner_id})).all()
        await self._hold_read()
        answer: Message = self.messages.ListThingsResponse(things=[self._thing(*row) for row in rows])
        return answer

    async def PutThing(self, request: Any, context: Any) -> Message:
        async def work(tx: Any) -> None:
            await tx.execute(_PUT, {"id": request.id, "text": request.text, "owner_id": request.owner_id})
            version = (await tx.execute(_VERSION, {"id": request.id})).scalar_one()
            tx.publish(StockAdjusted(), aggregate_id=request.id, version=version)

        await self.runtime.database.transact(work)
        answer: Message = request
        return answer

    async def PutQuietly(self, request: Any, context: Any) -> Message:
        async def work(tx: Any) -> None:
            await tx.execute(_PUT, {"id": request.id, "text": request.text, "owner_id": request.owner_id})

        await self.runtime.database.transact(work)
        answer: Message = request
        return answer

    async def Browse(self, request: Any, context: Any) -> Message:
        return await self._wait()

    async def Look(self, request: Any, context: Any) -> Message:
        return await self._wait()

    async def Change(self, request: Any, context: Any) -> Message:
        return await self._wait()

    async def Serve(self, request: Any, context: Any) -> Message:
        return await self._wait()

    async def Follow(self, request: Any, context: Any) -> AsyncIterator[Message]:
        yield self.messages.Thing()
        await self._wait()

    async def Counted(self, request: Any, context: Any) -> Message:
        return self._thing("", "", "")

    async def CountedToo(self, request: Any, context: Any) -> Message:
        return self._thing("", "", "")

    async def CountedByAddress(self, request: Any, context: Any) -> Message:
        return self._thing("", "", "")

    async def CountedTogether(self, request: Any, context: Any) -> Message:
        return self._thing("", "", "")

    async def Chain(self, request: Any, context: Any) -> Message:
        deadline = current_call().deadline
        assert deadline is not None
        self.begun += 1
        left = int(1000 * (deadline - asyncio.get_running_loop().time()))
        further = self.messages.ChainResponse()
        if request.hops:
            stub = self.stubs.ShelfServiceStub(self.runtime.channel(WORKLOAD))
            ask = self.messages.ChainRequest(
                hops=request.hops - 1, timeout_ms=request.timeout_ms, work_ms=request.work_ms
            )
            timeout = request.timeout_ms / 1000 if request.timeout_ms else None
            further = await stub.Chain(ask, timeout=timeout)
        else:
            try:
                await asyncio.sleep(request.work_ms / 1000)
            except asyncio.CancelledError:
                self.abandoned += 1
                raise
            self.finished += 1
        answer: Message = self.messages.ChainResponse(
            remaining_ms=[left, *further.remaining_ms], deadline_ms=[int(1000 * deadline), *further.deadline_ms]
        )
        return answer

    async def _wait(self) -> Message:
        self.waiting += 1
        try:
            await (self.held.wait() if self.seconds is None else asyncio.sleep(self.seconds))
        finally:
            self.waiting -= 1
        self.finished += 1
        return self._thing("", "", "")

    async def _hold_read(self) -> None:
        if self.hold_reads is not None:
            self.reading.set()
            await self.hold_reads.wait()

    def _thing(self, thing_id: str, content: str, owner_id: str) -> Message:
        call = current_call()
        asked_by = f"{call.caller or 'nobody'}/{call.subject.id if call.subject else 'nobody'}"
        answer: Message = self.messages.Thing(id=thing_id, text=content, owner_id=owner_id, asked_by=asked_by)
        return answer


@dataclass(frozen=True)
class RunningShelf:
    """A process of the service."""

    service: ServiceUnderTest
    servicer: Shelf

    @property
    def messages(self) -> Any:
        return self.servicer.messages

    def stub(self, caller: str = "edge", token: str | None = None) -> Any:
        return self.servicer.stubs.ShelfServiceStub(self.service.channel(caller, token))

    def counted(self, name: str, **labels: str) -> float:
        """The value of a counter; 0 before it was counted."""
        return self.service.running.runtime.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def shelf(
    harness: Harness, contract: ProbeContract, *, database_url: str | None = None, **settings: Any
) -> AsyncIterator[RunningShelf]:
    """Runs a process of the service."""
    made: list[Shelf] = []
    names = ("probe.v1.shelf_service_pb2", "probe.v1.shelf_service_pb2_grpc")
    messages, stubs = map(import_module, names)

    async def build(runtime: Runtime[Any]) -> Service:
        made.append(Shelf(messages, stubs, runtime))
        return Service(servicers=[(stubs.add_ShelfServiceServicer_to_server, made[0])])

    options = {"ZOCO_DESCRIPTORS": contract.descriptors, **settings}
    async with harness.running(WORKLOAD, build, database_url=database_url, **options) as service:
        async with service.database.engine.begin() as connection:
            await connection.execute(_TABLE)
        yield RunningShelf(service, made[0])


def tuned(directory: Path, **sections: Mapping[str, Any]) -> Path:
    """A tuning file with other numbers in some sections."""
    content = yaml.safe_load(TUNING.read_text())
    for name, section in sections.items():
        content[name] |= section
    path = directory / "tuning.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
