"""The health of the whole system: every process of every workload asked at once, the answer kept for a second."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.certificates import spiffe_id
from mesh.channel import DEFAULT_PORT
from mesh.diagnosis import PeerDiagnosis
from mesh.health import REASON_HEADER, SERVING, UPTIME_HEADER, VERSION_HEADER
from mesh.renewed_channel import RenewedChannel

ASK_SECONDS: Final = 2.0
"""A process that does not answer within this counts as not serving."""

KEEP_SECONDS: Final = 1.0
"""How long an answer is given again: however often outsiders ask, a process is asked once in that time."""

_EAGER: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
)


class State(Enum):
    """How a process, a workload or the whole is."""

    SERVING = "SERVING"
    DEGRADED = "DEGRADED"
    """It serves, but not as it should: of several processes some are down, or one lacks what it can do without."""
    NOT_SERVING = "NOT_SERVING"


@dataclass(frozen=True)
class ServiceHealth:
    """How a workload is.

    Attributes:
        service: its name.
        state: SERVING if all its processes are and lack nothing, NOT_SERVING if none is.
        reason: why it is not SERVING; empty if it is.
        version: what runs, empty where it did not say.
        uptime_seconds: of its youngest process.
    """

    service: str
    state: State
    reason: str
    version: str
    uptime_seconds: int


@dataclass(frozen=True)
class SystemHealth:
    """How the whole is: NOT_SERVING as soon as one workload is, SERVING only if all are."""

    services: tuple[ServiceHealth, ...]

    @property
    def state(self) -> State:
        """The state of the whole."""
        states = {service.state for service in self.services}
        if State.NOT_SERVING in states:
            return State.NOT_SERVING
        return State.DEGRADED if State.DEGRADED in states else State.SERVING

    def of(self, workload: str) -> ServiceHealth | None:
        """The health of one workload, None if there is no such."""
        return next((service for service in self.services if service.service == workload), None)


class System:
    """The processes of the system, to be asked how they are. Close it at the end.

    Args:
        workloads: names, in the order they are reported.
        addresses: `host:port` of each process by workload; a workload without any is looked up by DNS under its name.
        pki_dir: this process's own identity, and whom it trusts.
    """

    def __init__(
        self,
        workloads: Sequence[str],
        addresses: Mapping[str, Sequence[str]],
        pki_dir: Path,
    ) -> None:
        self._channels = {
            workload: [
                _channel(address, workload, pki_dir)
                for address in addresses.get(workload) or (f"{workload}:{DEFAULT_PORT}",)
            ]
            for workload in workloads
        }
        self._asking: asyncio.Task[SystemHealth] | None = None
        self._answered = float("-inf")

    def connect(self) -> None:
        """Begin to connect to everything, so that the first who asks does not wait for handshakes."""
        for channels in self._channels.values():
            for channel in channels:
                channel.get_state(try_to_connect=True)

    async def health(self) -> SystemHealth:
        """Give the health of the whole, not older than a second."""
        task = self._asking
        if task is None or (task.done() and time.monotonic() - self._answered >= KEEP_SECONDS):
            task = self._asking = asyncio.create_task(self._ask())
        # One asker that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Close all channels."""
        if self._asking is not None:
            self._asking.cancel()
        for channels in self._channels.values():
            for channel in channels:
                await channel.close()

    async def _ask(self) -> SystemHealth:
        asked = (_ask_workload(workload, channels) for workload, channels in self._channels.items())
        services = await asyncio.gather(*asked)
        self._answered = time.monotonic()
        return SystemHealth(tuple(services))


@dataclass(frozen=True)
class _ProcessHealth:
    serving: bool
    reason: str
    version: str
    uptime_seconds: int


async def _ask_workload(workload: str, channels: Sequence[grpc.aio.Channel]) -> ServiceHealth:
    processes = await asyncio.gather(*(_ask_process(channel) for channel in channels))
    serving = [process for process in processes if process.serving]
    whole = all(process.serving and not process.reason for process in processes)
    state = State.NOT_SERVING if not serving else State.SERVING if whole else State.DEGRADED
    told = serving or processes
    return ServiceHealth(
        service=workload,
        state=state,
        reason="; ".join(dict.fromkeys(process.reason for process in processes if process.reason)),
        version=", ".join(sorted({process.version for process in told if process.version})),
        uptime_seconds=min(process.uptime_seconds for process in told),
    )


async def _ask_process(channel: grpc.aio.Channel) -> _ProcessHealth:
    call = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=ASK_SECONDS)
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        # The code alone: gRPC's text names addresses and ports, and this is shown to anybody.
        unreachable = error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        return _ProcessHealth(False, "not reachable" if unreachable else error.code().name, "", 0)
    told = {str(key): str(value) for key, value in await call.trailing_metadata() or ()}
    serving = answer.status == SERVING
    return _ProcessHealth(
        serving=serving,
        reason=told.get(REASON_HEADER, "") or ("" if serving else "not serving"),
        version=told.get(VERSION_HEADER, ""),
        uptime_seconds=int(told.get(UPTIME_HEADER, "0")),
    )


def _channel(address: str, workload: str, pki_dir: Path) -> grpc.aio.Channel:
    # No service config: its client-side health check would turn NOT_SERVING, with its reason, into "unavailable".
    return RenewedChannel(
        address,
        pki_dir,
        options=(*_EAGER, ("grpc.ssl_target_name_override", workload)),
        on_trouble=PeerDiagnosis(workload, spiffe_id(workload), (address,)),
    )
