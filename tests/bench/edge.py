"""What the edge costs: a read over REST through Envoy against the same read by native gRPC at the service's own door.

The service runs on one core; Envoy, the load, database and broker on the other. No other service runs but the one that
has the keys of tokens. Both ways speak mTLS to the service, and the read is GetProduct: the whole pipeline of the
service is behind both. Of the traces one in ten is recorded and exported, by edge and service alike, as in production.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import psutil

from mesh.policy import DESCRIPTORS
from tests.bench.echo import CLIENTS, CONNECTIONS, GHZ, LOAD_CORE, SERVER_CORE
from tests.bench.echo_server import TRACE_RATIO
from tests.bench.figure import SECONDS, Figure, Sample, compare, figure
from tests.bench.orders import open_shop
from tests.fixtures.spans import SpanCollector
from tests.journeys.running import RunningShop

H2LOAD: Final = "h2load"
SERVICE: Final = "product"
NEEDED: Final = f"{SERVICE},user"
"""The services that run: the one that is read from, and the one whose keys the edge asks for."""
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
    if not GHZ.exists():
        raise FileNotFoundError("ghz, a load generator, is not in .tools/bin: make tools")
    if shutil.which(H2LOAD) is None:
        raise FileNotFoundError("h2load, a load generator, is not installed (apt: nghttp2-client)")
    with (
        tempfile.TemporaryDirectory(prefix="zoco-bench-") as directory,
        SpanCollector(Path(directory) / "spans") as collector,
        open_shop({"OTEL_TRACES_SAMPLER_ARG": str(TRACE_RATIO)}, collector) as shop,
    ):
        _pin(os.getpid(), LOAD_CORE)  # the collector is in here
        product = httpx.get(f"http://{shop.address}/v1/products?pageSize=1").json()["products"][0]["id"]
        shop.down()
        needed = replace(shop, settings={**shop.settings, "ZOCO_SERVICES": NEEDED})
        needed.up()
        needed.wait_until_healthy()
        doors = _Doors(needed, product)
        figures = compare(
            "edge",
            ("REST through the edge", doors.sampled(doors.rest)),
            ("gRPC at the service", doors.sampled(doors.grpc)),
            target=0.85,
            aim=0.95,
        )
        figures += compare(
            "edge over HTTP/1.1",
            ("REST through the edge", doors.sampled(doors.rest_over_http1)),
            ("gRPC at the service", doors.sampled(doors.grpc)),
        )
        figures += _alone(doors)
        audit = needed.zoco("audit", "--settle", "30", check=False)
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

    def __init__(self, shop: RunningShop, product: str) -> None:
        self._shop = shop
        self._product = product
        status = shop.status()
        for process in status.values():
            _pin(int(process["pid"]), LOAD_CORE)
        self._service = psutil.Process(int(status[SERVICE]["pid"]))
        _pin(self._service.pid, SERVER_CORE)

    def sampled(self, load: Callable[[float, int], tuple[int, float, Latency]]) -> Callable[[], Sample]:
        """What loads for a slice, after a moment to warm up, and looks at the service's CPU time meanwhile."""

        def sample() -> Sample:
            load(SECONDS / 2, CLIENTS)
            before = self._cpu_seconds()
            calls, seconds, _ = load(SECONDS, CLIENTS)
            return Sample(calls, seconds, self._cpu_seconds() - before)

        return sample

    def rest(self, seconds: float, clients: int) -> tuple[int, float, Latency]:
        """Calls over REST without a pause, over HTTP/2 as gRPC: as many connections, as many calls at once.

        Returns:
            How many were answered, in how many seconds, and how fast.
        """
        connections = min(CONNECTIONS, clients)
        return self._rest(seconds, f"--clients={connections}", f"--max-concurrent-streams={clients // connections}")

    def rest_over_http1(self, seconds: float, clients: int) -> tuple[int, float, Latency]:
        """The same over HTTP/1.1, where each call at once has a connection of its own."""
        return self._rest(seconds, "--h1", f"--clients={clients}")

    def _rest(self, seconds: float, *how: str) -> tuple[int, float, Latency]:
        url = f"http://{self._shop.address}/v1/products/{self._product}"
        with tempfile.NamedTemporaryFile(mode="r", prefix="zoco-bench-") as log:
            report = _run(
                *(H2LOAD, f"--duration={round(seconds * 1000)}ms", "--threads=1", f"--log-file={log.name}", *how, url)
            )
            answers = [tuple(map(int, line.split("\t"))) for line in log]
        # Of each request: when it began, in microseconds since 1970, its status, and for how many it took.
        if {status for _, status, _ in answers} != {200}:
            raise RuntimeError(f"not every call was answered: {report}")
        elapsed = max(began + took for began, _, took in answers) - min(began for began, _, _ in answers)
        times = sorted(took / 1000 for _, _, took in answers)
        return len(times), elapsed / 1e6, (times[len(times) // 2], times[len(times) * 99 // 100])

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


def _run(tool: Path | str, *arguments: str) -> str:
    command = ["taskset", "--cpu-list", str(LOAD_CORE), str(tool), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _pin(pid: int, core: int) -> None:
    """Pins a process with all its threads: Envoy's workers and gRPC's run already."""
    command = ["taskset", "--all-tasks", "--cpu-list", "--pid", str(core), str(pid)]
    subprocess.run(command, capture_output=True, check=True)
