"""Health (grpc.health.v1): serving only while everything a process needs is reachable, and not while it drains.

What a process can do without for a while is no reason not to serve: it says what it lacks, and goes on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from mesh.logs import logger
from mesh.version import VERSION

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING

PROBE_INTERVAL: Final = 1.0
RECOVERY_INTERVAL: Final = 0.1
"""Seconds between two probes while something is missing: a neighbour should not wait long for us."""
PROBE_TIMEOUT: Final = 2.0

REASON_HEADER: Final = "x-health-reason"
VERSION_HEADER: Final = "x-health-version"
UPTIME_HEADER: Final = "x-health-uptime-seconds"

Probe = Callable[[], Awaitable[None]]
"""Returns when the thing is reachable, raises when it is not."""

_log = logger("health")


class Health(aio.HealthServicer):  # type: ignore[misc]  # the package has no types
    """The health service of a process.

    Beside the status, Check tells reason, version and uptime in its trailing metadata, for those who show them.

    Args:
        services: Full names that are reported beside the whole (``""``).
        probes: What the process needs, by name.
        wishes: What it can do without for a while, by name.
    """

    def __init__(
        self, services: Iterable[str], probes: Mapping[str, Probe], *, wishes: Mapping[str, Probe] | None = None
    ) -> None:
        super().__init__()
        self._names = ("", *services)
        self._probes = probes
        self._wishes = wishes or {}
        self._reason = "starting"
        self._serving = False
        self._draining = False
        self._started = time.monotonic()
        self._version = VERSION

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802 - named by the contract
        """The status of a service now (grpc.health.v1.Health/Check)."""
        context.set_trailing_metadata(
            (
                (REASON_HEADER, self._reason),
                (VERSION_HEADER, self._version),
                (UPTIME_HEADER, str(int(time.monotonic() - self._started))),
            )
        )
        return await super().Check(request, context)

    async def watch_probes(self) -> None:
        """Probes what the process needs, for ever, and reports changes. Run it as a task."""
        while True:
            await self.probe()
            await asyncio.sleep(PROBE_INTERVAL if self._serving else RECOVERY_INTERVAL)

    async def probe(self) -> None:
        """Probes once and reports the result."""
        missing, lacking = await asyncio.gather(_failures(self._probes), _failures(self._wishes))
        if not self._draining:
            await self._report([*missing, *lacking], serving=not missing)

    async def drain(self) -> None:
        """Reports NOT_SERVING from now on."""
        self._draining = True
        await self._report(["draining"], serving=False)

    async def _report(self, reasons: Sequence[str], *, serving: bool) -> None:
        reason = "; ".join(reasons)
        if (reason, serving) != (self._reason, self._serving):
            _log.info("health changed", serving=serving, reason=reason or "all probes pass")
        self._reason, self._serving = reason, serving
        for name in self._names:
            await self.set(name, SERVING if serving else NOT_SERVING)


async def _failures(probes: Mapping[str, Probe]) -> Sequence[str]:
    """Why probes fail; empty if none does."""
    tried = await asyncio.gather(*(_try(name, probe) for name, probe in probes.items()))
    return [failure for failure in tried if failure]


async def _try(name: str, probe: Probe) -> str:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await probe()
    except TimeoutError:
        return f"{name}: no answer within {PROBE_TIMEOUT:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a probe raises is the reason for not serving
        return f"{name}: {type(error).__name__}"
    return ""
