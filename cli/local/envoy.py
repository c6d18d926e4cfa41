"""Running an Envoy on this machine: its command line, and its drain."""

import asyncio
import contextlib
from http.client import HTTPException
from pathlib import Path

from cli.local import binaries
from cli.local.probes import http_request
from cli.local.settings import LocalSettings
from cli.local.spawning import Program

_DRAIN_SECONDS = 5.0
_POLL_SECONDS = 0.05


def envoy_program(settings: LocalSettings, config: Path, *, workers: int) -> Program:
    """Return how to run an Envoy.

    Args:
        settings: may name another binary.
        config: its configuration file.
        workers: how many threads serve connections.

    Raises:
        Failure: there is no binary for this machine.
    """
    return Program(
        (
            str(binaries.envoy(settings.envoy)),
            "--config-path",
            str(config),
            "--concurrency",
            str(workers),
            "--disable-hot-restart",
            "--log-level",
            "warning",
            # Ten seconds by default: too long for somebody who follows the access log.
            "--file-flush-interval-msec",
            "1000",
        )
    )


async def drain(admin: int, connections: str, *, inbound_only: bool = False) -> None:
    """Take no new connections and let requests in flight finish, for five seconds at most.

    Args:
        admin: port of Envoy's own page.
        connections: regular expression for the stat prefix of the listeners that are waited for.
        inbound_only: leave the listeners alone that are not marked as inbound.
    """
    which = "inboundonly&" if inbound_only else ""
    with contextlib.suppress(OSError, HTTPException):
        await http_request("POST", admin, f"/drain_listeners?{which}graceful&skip_exit")
        deadline = asyncio.get_running_loop().time() + _DRAIN_SECONDS
        while await _active(admin, connections):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(_POLL_SECONDS)


async def _active(admin: int, connections: str) -> int:
    _, body = await http_request("GET", admin, f"/stats?filter=^http\\.{connections}.*downstream_rq_active$")
    return sum(int(line.rsplit(b":", 1)[1]) for line in body.splitlines() if b":" in line)
