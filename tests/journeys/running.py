"""The whole shop as `make up` runs it, in a home and on ports of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cli.local.control import ask
from cli.local.home import Home
from cli.local.running import ports
from tests.fixtures.spans import SpanCollector

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningShop:
    """A shop that runs in the background."""

    home: Path
    edge_port: int
    mesh: str = "inprocess"
    """How the mesh is run: in each process, or by a sidecar beside it."""
    collector: SpanCollector | None = None
    """Takes the spans of those calls whose caller asks for it."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What it is told beyond that, by environment variable."""
    project: Path = PROJECT
    """The checkout that it runs from."""

    @property
    def address(self) -> str:
        """Where the edge takes REST and gRPC."""
        return f"127.0.0.1:{self.edge_port}"

    @property
    def admin(self) -> tuple[str, str]:
        """The administrator's e-mail address and password."""
        credentials = json.loads((self.home / "credentials.json").read_text())
        return credentials["adminEmail"], credentials["adminPassword"]

    def zoco(self, *arguments: str, check: bool = True, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Runs the command line against this shop."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"zoco {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that the command line finds this shop by."""
        own = {"ZOCO_HOME": str(self.home), "ZOCO_EDGE_PORT": str(self.edge_port), "MESH": self.mesh}
        if self.collector is not None:
            own["OTEL_EXPORTER_OTLP_ENDPOINT"] = self.collector.endpoint
        return {**os.environ, **own, **self.settings}

    def up(self) -> None:
        """Starts it and waits until it is ready."""
        self.zoco("up", "--detach")

    def down(self) -> None:
        """Stops it; its data stay."""
        self.zoco("down")

    def status(self) -> Mapping[str, Mapping[str, Any]]:
        """Every process by name, as the supervisor tells it: a command of its own for each look would be a load."""
        told = ask(Home(self.home).control_socket, {"request": "status"})
        return {each["process"]: each for each in told["processes"]}

    def port(self, process: str) -> int:
        """Where the mesh calls a process: its own port, or its sidecar's."""
        status = self.status()
        return int(status.get(f"{process}.sidecar", status[process])["port"])

    def unreached(self) -> list[str]:
        """Whom the edge or a sidecar has not found healthy, as `cluster at port`: calls to them fail at once."""
        known = ports(Home(self.home))
        result = []
        for admin in (known.edge_admin, *known.sidecar_admin.values()):
            clusters = httpx.get(f"http://127.0.0.1:{admin}/clusters?format=json").json()["cluster_statuses"]
            result += [
                f"{cluster['name']} at {host['address']['socket_address']['port_value']}"
                for cluster in clusters
                for host in cluster.get("host_statuses", ())
                if host["health_status"].get("failed_active_health_check")
            ]
        return result

    def kill(self, process: str) -> int:
        """Kills a process without a warning; returns the pid it had. One that is being started anew is waited for."""
        wait_for(lambda: self.status()[process]["pid"] is not None, 60, f"process of {process}")
        pid = int(self.status()[process]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until_healthy(self, limit: float = 60) -> None:
        """Waits until every process is healthy."""
        wait_for(lambda: all(each["state"] == "healthy" for each in self.status().values()), limit, "a healthy shop")

    def logs(self, process: str) -> list[Mapping[str, Any]]:
        """What a service has logged, line by line."""
        text = (self.home / "logs" / f"{process}.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def wait_for(condition: Callable[[], bool], limit: float, what: str) -> None:
    """Waits for a condition, at most `limit` seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"no {what} within {limit} s"
        time.sleep(0.1)
