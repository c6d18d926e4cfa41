"""A real Envoy as a child of the test: started with a configuration, asked for its ports, ended with the stack."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from cli.local.binaries import envoy
from tests.gateway.edges import until


@dataclass
class RunningEnvoy:
    """An Envoy that runs.

    Attributes:
        admin: URL of its own page.
        ports: of its listeners, by their names.
        log: what it writes.
    """

    admin: str
    ports: dict[str, int]
    log: Path
    client: httpx.AsyncClient

    async def stats(self, pattern: str) -> dict[str, int]:
        """Its counters and gauges whose names match a regular expression."""
        answer = await self.client.get(f"{self.admin}/stats", params={"filter": pattern, "format": "json"})
        return {each["name"]: each["value"] for each in answer.json()["stats"] if "name" in each}

    async def hosts(self, cluster: str) -> list[dict[str, object]]:
        """The health of each process of a cluster."""
        answer = await self.client.get(f"{self.admin}/clusters?format=json")
        found = next(each for each in answer.json()["cluster_statuses"] if each["name"] == cluster)
        return [host["health_status"] for host in found.get("host_statuses", ())]

    def logged(self) -> list[dict[str, object]]:
        """The lines of its access logs."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


async def run_envoy(stack: AsyncExitStack, config: str, directory: Path, listeners: set[str]) -> RunningEnvoy:
    """Start an Envoy; it ends with the stack.

    Args:
        stack: ends it.
        config: JSON.
        directory: for its files.
        listeners: the names of those that are waited for.
    """
    path, admin, log = directory / "envoy.json", directory / "admin.txt", directory / "envoy.log"
    path.write_text(config)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(envoy(None)),
            *("--config-path", str(path), "--admin-address-path", str(admin)),
            *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
            *("--file-flush-interval-msec", "50"),
            stdout=output,
            stderr=output,
        )

    async def end() -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    stack.push_async_callback(end)

    async def is_up() -> bool:
        assert process.returncode is None, log.read_text()
        return admin.exists() and bool(admin.read_text())

    await until(is_up, "Envoy's admin page is up")
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=15))
    running = RunningEnvoy(f"http://{admin.read_text().strip()}", {}, log, client)

    async def listens() -> bool:
        assert process.returncode is None, log.read_text()
        answer = await client.get(f"{running.admin}/listeners?format=json")
        for status in answer.json().get("listener_statuses", ()):
            if socket := status["local_address"].get("socket_address"):
                running.ports[status["name"]] = socket["port_value"]
        return listeners <= running.ports.keys()

    await until(listens, "Envoy's listeners are up")
    return running
