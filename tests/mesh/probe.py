"""A service with one of everything the pipeline decides on, for tests of the mesh itself."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from google.protobuf.message import Message

from mesh.call import current_call
from mesh.compiler.protos import compile_protos
from mesh.errors import FailedPrecondition, Precondition, ResourceExhausted, from_rpc_error
from mesh.service import Runtime, Service
from mesh.streams import Step, watch

CONTRACTS = Path(__file__).parent / "contracts"
MESH_PROTOS = Path(__file__).parents[2] / "protos" / "zoco" / "mesh"
DESCRIPTORS = "descriptors.binpb"


@dataclass(frozen=True)
class ProbeContract:
    """The compiled contract of the probe."""

    descriptors: Path
    messages: ModuleType
    stubs: ModuleType


def compile_probe(directory: Path) -> ProbeContract:
    """Compiles the probe's contract with the compiler that compiles all of them."""
    sources = directory / "protos"
    shutil.copytree(CONTRACTS, sources)
    shutil.copytree(MESH_PROTOS, sources / "zoco" / "mesh")
    compiled = compile_protos(sources)
    for path, content in compiled.files.items():
        if "probe/" in str(path):
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    (directory / DESCRIPTORS).write_bytes(compiled.descriptors)
    return load_probe(directory)


def load_probe(directory: Path) -> ProbeContract:
    """Imports what `compile_probe` wrote into that directory, in this process or an earlier one."""
    sys.path.insert(0, str(directory))
    messages, stubs = map(import_module, ("probe.v1.probe_service_pb2", "probe.v1.probe_service_pb2_grpc"))
    return ProbeContract(directory / DESCRIPTORS, messages, stubs)


class Probe:
    """Serves the probe contract; what happened can be read off it."""

    def __init__(self, contract: ProbeContract, runtime: Runtime[Any]) -> None:
        self._messages = contract.messages
        self._runtime = runtime
        self.effects = 0
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.counter = 0
        self.order: list[str] = []

    def _answer(self, text: str) -> Message:
        call = current_call()
        answer: Message = self._messages.EchoResponse(
            text=text, subject=call.subject.id if call.subject else "", caller=call.caller or "", count=self.effects
        )
        return answer

    async def Echo(self, request: Any, context: Any) -> Message:
        return self._answer(request.text)

    async def Own(self, request: Any, context: Any) -> Message:
        return self._answer(current_call().resolve_me(request.user.id))

    async def Rule(self, request: Any, context: Any) -> Message:
        return self._answer(request.text)

    async def Inside(self, request: Any, context: Any) -> Message:
        return self._answer(request.text)

    async def Once(self, request: Any, context: Any) -> Message:
        async def work(tx: Any) -> Message:
            self.effects += 1
            return self._answer(request.text)

        answer: Message = await self._runtime.database.transact(work, keyed=True)
        return answer

    async def Misbehave(self, request: Any, context: Any) -> Message:
        match request.text:
            case "wait":
                self.waiting.set()
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            case "crash":
                raise RuntimeError("the secret is 42")
            case "refuse":
                raise FailedPrecondition(
                    "INSUFFICIENT_STOCK",
                    "too few",
                    preconditions=[Precondition("STOCK", "p1", "3 available, 5 wanted")],
                )
            case "busy":
                raise ResourceExhausted("OVERLOADED", "busy", retry_after=timedelta(milliseconds=1200))
            case _:
                pass
        return self._answer(request.text)

    async def Spell(self, request: Any, context: Any) -> AsyncIterator[Message]:
        for letter in request.text:
            yield self._answer(letter)

    async def Watch(self, request: Any, context: Any) -> None:
        async def read(position: str) -> list[Step]:
            if str(self.counter) == position:
                return []
            event = self._messages.EchoResponse(count=self.counter)
            return [Step(self._messages.WatchResponse(event=event), str(self.counter), last=self.counter >= 3)]

        await watch(
            context,
            response=self._messages.WatchResponse,
            position=request.position,
            read=read,
            wakes=self._runtime.wakes,
            keys=["counter"],
        )

    async def Collect(self, request_iterator: Any, context: Any) -> Message:
        return self._answer("".join([request.text async for request in request_iterator]))

    async def Chat(self, request_iterator: Any, context: Any) -> None:
        async for request in request_iterator:
            await context.write(self._answer(request.text))


def probe_build(contract: ProbeContract, made: list[Probe]) -> Callable[[Runtime[Any]], Awaitable[Service]]:
    """The probe's constructor; the servicer it makes is appended to `made`."""

    async def build(runtime: Runtime[Any]) -> Service:
        made.append(Probe(contract, runtime))
        return Service(servicers=[(contract.stubs.add_ProbeServiceServicer_to_server, made[-1])])

    return build


async def status_of(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """The code and reason a call ends with; OK and no reason where it succeeds."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), from_rpc_error(error).reason
    return grpc.StatusCode.OK, ""
