"""The shop behind its edge, to read a product from: public, and answered from the service's memory."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import psutil

from mesh.policy import DESCRIPTORS
from tests.bench.doors import Doors
from tests.bench.echo_server import TRACE_RATIO
from tests.bench.load import LOAD_CORE, SERVER_CORE, ghz_arguments, mutual_tls, need_generators
from tests.bench.orders import open_shop
from tests.fixtures.spans import SpanCollector

SERVICE: Final = "product"
NEEDED: Final = f"{SERVICE},user"
"""The services that run: the one that is read from, and the one whose keys the edge asks for."""
METHOD: Final = "zoco.product.v1.ProductService.GetProduct"


@contextmanager
def product_behind_edge() -> Iterator[Doors]:
    """A product of a shop that runs nothing else; database and broker share the load's core.

    Raises:
        GeneratorMissing: A load generator is not there.
        RuntimeError: The audit after the load is not clean.
    """
    need_generators()
    with (
        tempfile.TemporaryDirectory(prefix="zoco-bench-") as directory,
        SpanCollector(Path(directory) / "spans") as collector,
        open_shop({"OTEL_TRACES_SAMPLER_ARG": str(TRACE_RATIO)}, collector) as whole,
    ):
        _pin(os.getpid(), LOAD_CORE)  # the collector is in here
        listed = httpx.get(f"http://{whole.address}/v1/products?pageSize=1", trust_env=False)
        product = listed.json()["products"][0]["id"]
        whole.down()
        shop = replace(whole, settings={**whole.settings, "ZOCO_SERVICES": NEEDED})
        shop.up()
        shop.wait_until_healthy()
        status = shop.status()
        for process in status.values():
            _pin(int(process["pid"]), LOAD_CORE)
        service, edge = (psutil.Process(int(status[name]["pid"])) for name in (SERVICE, "edge"))
        _pin(service.pid, SERVER_CORE)

        def grpc_arguments(clients: int) -> Sequence[str]:
            own = mutual_tls(shop.home / "pki" / "edge", SERVICE)
            return ghz_arguments(shop.port(SERVICE), DESCRIPTORS, METHOD, {"id": product}, *own, clients=clients)

        yield Doors(service, edge, f"http://{shop.address}/v1/products/{product}", grpc_arguments)
        audit = shop.zoco("audit", "--settle", "30", check=False)
        if audit.returncode:
            raise RuntimeError(f"the audit after the load is not clean:\n{audit.stdout}")


def _pin(pid: int, core: int) -> None:
    """Pins a process with all its threads: Envoy's workers and gRPC's run already."""
    command = ["taskset", "--all-tasks", "--cpu-list", "--pid", str(core), str(pid)]
    subprocess.run(command, capture_output=True, check=True)
