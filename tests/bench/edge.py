"""What the edge costs: a read over REST through Envoy against the same read by native gRPC at the service's own door.

The service runs on one core; Envoy, the load, database and broker on the other. No other service runs but the one that
has the keys of tokens. Both ways speak mTLS to the service, and the read is GetProduct: the whole pipeline of the
service is behind both. Of the traces one in ten is recorded and exported, by edge and service alike, as in production.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import psutil

from mesh.policy import DESCRIPTORS
from tests.bench.echo_server import TRACE_RATIO
from tests.bench.figure import Figure, Sample, compare, figure
from tests.bench.load import (
    CLIENTS,
    CONNECTIONS,
    GHZ,
    H2LOAD,
    LOAD_CORE,
    SERVER_CORE,
    Ghz,
    H2load,
    Load,
    ghz_arguments,
    mutual_tls,
    observe,
)
from tests.bench.orders import open_shop
from tests.fixtures.spans import SpanCollector
from tests.journeys.running import RunningShop

SERVICE: Final = "product"
NEEDED: Final = f"{SERVICE},user"
"""The services that run: the one that is read from, and the one whose keys the edge asks for."""
METHOD: Final = "zoco.product.v1.ProductService.GetProduct"
ALONE_SECONDS: Final = 3.0
"""How long one client at a time calls, for what a single call takes."""


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
    rest, grpc = doors.latency(doors.rest), doors.latency(doors.grpc)
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

    def sampled(self, load: Callable[[int], Load]) -> Callable[[], Sample]:
        """What loads for a slice and looks at the service meanwhile."""
        return lambda: observe(partial(load, CLIENTS), self._service)[0]

    def latency(self, load: Callable[[int], Load]) -> tuple[float, float]:
        """Median and 99th percentile of one client's calls, in milliseconds."""
        _, times = observe(partial(load, 1), self._service, ALONE_SECONDS)
        ordered = sorted(1000 * each for each in times)
        return ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]

    def rest(self, clients: int) -> Load:
        """Calls over REST, over HTTP/2 as gRPC: as many connections, as many calls at once."""
        connections = min(CONNECTIONS, clients)
        return self._rest(f"--clients={connections}", f"--max-concurrent-streams={clients // connections}")

    def rest_over_http1(self, clients: int) -> Load:
        """The same over HTTP/1.1, where each call at once has a connection of its own."""
        return self._rest("--h1", f"--clients={clients}")

    def _rest(self, *how: str) -> Load:
        return H2load(f"http://{self._shop.address}/v1/products/{self._product}", *how)

    def grpc(self, clients: int) -> Load:
        """The same by gRPC, with the edge's own certificate."""
        own = mutual_tls(self._shop.home / "pki" / "edge", SERVICE)
        return Ghz(
            *ghz_arguments(self._shop.port(SERVICE), DESCRIPTORS, METHOD, {"id": self._product}, *own, clients=clients)
        )


def _pin(pid: int, core: int) -> None:
    """Pins a process with all its threads: Envoy's workers and gRPC's run already."""
    command = ["taskset", "--all-tasks", "--cpu-list", "--pid", str(core), str(pid)]
    subprocess.run(command, capture_output=True, check=True)
