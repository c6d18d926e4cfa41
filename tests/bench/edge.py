"""What the edge costs: a read over REST through Envoy against the same read by native gRPC at the service's own door.

The service runs on one core; Envoy, the load and everything else of the shop run on the other. Both ways speak mTLS to
the service, and the read is GetProduct: the whole pipeline of the service is behind both.
"""

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import httpx
import psutil

from mesh.policy import DESCRIPTORS
from tests.bench.echo import CLIENTS, CONNECTIONS, GHZ, LOAD_CORE, ROOT, SERVER_CORE
from tests.bench.figure import SECONDS, Figure, Sample, compare, figure
from tests.bench.orders import open_shop
from tests.journeys.running import RunningShop

HEY: Final = ROOT / ".tools" / "bin" / "hey"
SERVICE: Final = "product"
METHOD: Final = "zoco.product.v1.ProductService.GetProduct"
ALONE_SECONDS: Final = 3.0
"""How long one client at a time calls, for what a single call takes."""

Latency = tuple[float, float]
"""Median and 99th percentile, in milliseconds."""


def measure() -> Sequence[Figure]:
    """Gives the ratio of rates, and what a single call takes by either way.

    Raises:
        FileNotFoundError: A load generator is not there.
    """
    for tool in (GHZ, HEY):
        if not tool.exists():
            raise FileNotFoundError(f"{tool.name}, a load generator, is not in .tools/bin: make tools")
    with open_shop() as shop:
        doors = _Doors(shop)
        figures = compare(
            "edge",
            ("REST through the edge", doors.sampled(doors.rest)),
            ("gRPC at the service", doors.sampled(doors.grpc)),
            target=0.85,
            aim=0.95,
        )
        figures += _alone(doors)
        audit = shop.zoco("audit", "--settle", "30", check=False)
        if audit.returncode:
            raise RuntimeError(f"the audit after the load is not clean:\n{audit.stdout}")
        return figures


def _alone(doors: "_Doors") -> list[Figure]:
    _, _, rest = doors.rest(ALONE_SECONDS, 1)
    _, _, grpc = doors.grpc(ALONE_SECONDS, 1)
    return [
        figure(f"one client: added by the edge, {name}", [rest[number] - grpc[number]], unit="ms")
        for number, name in enumerate(("p50", "p99"))
    ] + [figure(f"  {label}, p50", [latency[0]], unit="ms") for label, latency in (("REST", rest), ("gRPC", grpc))]


class _Doors:
    """Two ways to one read of one product."""

    def __init__(self, shop: RunningShop) -> None:
        self._shop = shop
        found = httpx.get(f"http://{shop.address}/v1/products?pageSize=1").json()
        self._product = found["products"][0]["id"]
        status = shop.status()
        for process in status.values():
            _pin(int(process["pid"]), LOAD_CORE)
        self._service = psutil.Process(int(status[SERVICE]["pid"]))
        _pin(self._service.pid, SERVER_CORE)

    def sampled(self, load: Callable[[float, int], tuple[int, float, Latency]]) -> Callable[[], Sample]:
        """What loads for a slice, after a moment to warm up, and looks at the service's CPU time meanwhile."""

        def sample() -> Sample:
            load(SECONDS / 4, CLIENTS)
            before = self._cpu_seconds()
            calls, seconds, _ = load(SECONDS, CLIENTS)
            return Sample(calls, seconds, self._cpu_seconds() - before)

        return sample

    def rest(self, seconds: float, clients: int) -> tuple[int, float, Latency]:
        """Calls over REST without a pause; how many were answered, in how many seconds, and how fast."""
        url = f"http://{self._shop.address}/v1/products/{self._product}"
        report = _run(HEY, "-z", f"{seconds}s", "-c", str(clients), "-disable-compression", url)
        answers = dict(re.findall(r"\[(\d+)\]\s+(\d+) responses", report))
        if set(answers) != {"200"}:
            raise RuntimeError(f"not every call was answered: {report}")
        total = float(re.search(r"Total:\s+([\d.]+) secs", report)[1])  # type: ignore[index]  # its own report has it
        p50, p99 = (
            float(re.search(rf"{percent}% in ([\d.]+) secs", report)[1]) * 1000  # type: ignore[index]
            for percent in (50, 99)
        )
        return int(answers["200"]), total, (p50, p99)

    def grpc(self, seconds: float, clients: int) -> tuple[int, float, Latency]:
        """The same by gRPC, with the edge's own certificate."""
        own = self._shop.home / "pki" / "edge"
        done = _run(
            GHZ,
            *(f"127.0.0.1:{self._shop.port(SERVICE)}", "--format=json", "--duration-stop=wait", "--cpus=1"),
            *(f"--protoset={DESCRIPTORS}", f"--call={METHOD}", f"--data={json.dumps({'id': self._product})}"),
            *("--disable-template-functions", "--disable-template-data"),
            *(f"--duration={seconds}s", f"--concurrency={clients}", f"--connections={min(CONNECTIONS, clients)}"),
            *(f"--cacert={own / 'ca.pem'}", f"--cert={own / 'cert.pem'}", f"--key={own / 'key.pem'}"),
            f"--cname={SERVICE}",
        )
        report = json.loads(done)
        if set(report["statusCodeDistribution"]) != {"OK"}:
            raise RuntimeError(f"not every call was answered: {report['statusCodeDistribution']}")
        by_percent = {each["percentage"]: each["latency"] / 1e6 for each in report["latencyDistribution"]}
        return report["count"], report["total"] / 1e9, (by_percent[50], by_percent[99])

    def _cpu_seconds(self) -> float:
        times = self._service.cpu_times()
        return float(times.user + times.system)


def _run(tool: Path, *arguments: str) -> str:
    command = ["taskset", "--cpu-list", str(LOAD_CORE), str(tool), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _pin(pid: int, core: int) -> None:
    """Pins a process with all its threads: Envoy's workers and gRPC's run already."""
    command = ["taskset", "--all-tasks", "--cpu-list", "--pid", str(core), str(pid)]
    subprocess.run(command, capture_output=True, check=True)
