"""Prints the first figures of a shop: `make figures`. Starts one of its own, measures, and stops it.

Nothing else should run on the machine. Load comes from h2load (Debian: nghttp2-client) in a process of its own.
"""

import asyncio
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx

from tests.cli.messy_catalog import write_messy_catalog
from tests.journeys.conftest import PASSWORD, order_of
from tests.journeys.running import RunningShop, wait_for
from tests.ports import free_port

ORDERS = 200
READ_SECONDS = 10
READ_CLIENTS = 32
ROUNDS = 3
IMPORT_ROWS = 100_000


def main() -> None:
    """Measures and prints a table; the last line sums it up."""
    if shutil.which("h2load") is None:
        sys.exit("h2load is not here: apt-get install nghttp2-client")
    with tempfile.TemporaryDirectory(prefix="zoco-figures-") as directory:
        shop = RunningShop(Path(directory), free_port())
        with _stopped_at_the_end(shop):
            print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
            first = _seconds_to_first_answer(shop)
            print(f"first `up`, database and catalog made anew: {first:.1f} s to the first answered request")
            again = []
            for _ in range(ROUNDS):
                shop.down()
                again.append(_seconds_to_first_answer(shop))
            print(
                f"`up` with everything installed: {median(again):.1f} s to the first answered request ({_list(again)})"
            )
            shop.wait_until_healthy()
            time.sleep(5)  # at rest: start-up work has ended
            memory = _memory(shop)
            print(f"memory of the whole system at rest: {sum(memory.values()):.0f} MB PSS")
            print("  " + ", ".join(f"{name} {size:.0f}" for name, size in memory.items()))
            latencies = asyncio.run(_order_latencies(shop))
            p50, p95 = _percentile(latencies, 50), _percentile(latencies, 95)
            print(f"{ORDERS} sequential orders over REST to CONFIRMED: p50 {p50:.0f} ms, p95 {p95:.0f} ms")
            rates = [_reads_a_second(shop) for _ in range(ROUNDS)]
            print(f"GetProduct over REST, one product process: {median(rates):.0f} requests/s ({_list(rates)})")
            seconds, settled = _import(shop)
            print(
                f"import of {IMPORT_ROWS} rows, 5 % of them bad: {seconds:.1f} s; all stock there after {settled:.1f} s"
            )
            print(
                f"up {median(again):.1f} s, {sum(memory.values()):.0f} MB, order p50 {p50:.0f} ms p95 {p95:.0f} ms, "
                f"import {seconds:.0f} s, GetProduct {median(rates):.0f}/s"
            )


@contextlib.contextmanager
def _stopped_at_the_end(shop: RunningShop) -> Iterator[None]:
    try:
        yield
    finally:
        shop.zoco("down", check=False)


def _seconds_to_first_answer(shop: RunningShop) -> float:
    """Seconds from the command until the catalog answers through the edge; the command goes on until all is healthy."""
    started = time.monotonic()
    command = subprocess.Popen(
        [sys.executable, "-m", "cli", "up", "--detach"],
        cwd=Path(__file__).parents[2],
        env=dict(shop.environment),
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        try:
            return httpx.get(f"http://{shop.address}/v1/products?pageSize=1", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    wait_for(answers, 180, "answer")
    seconds = time.monotonic() - started
    if command.wait(180) != 0:
        sys.exit("`zoco up` failed")
    return seconds


def _memory(shop: RunningShop) -> dict[str, float]:
    """Megabytes of PSS by process, the supervisor's included."""
    status = json.loads(shop.zoco("status", "--json", "--memory").stdout)
    sizes = {each["process"]: each["pss_bytes"] / 1e6 for each in status["processes"]}
    return {"supervisor": status["supervisor_pss_bytes"] / 1e6, **sizes}


async def _order_latencies(shop: RunningShop) -> list[float]:
    """Milliseconds of each order, one after the other over one connection."""
    async with httpx.AsyncClient(base_url=f"http://{shop.address}/v1", timeout=30) as client:
        email = "figures@example.com"
        await client.post("/users", json={"email": email, "password": PASSWORD, "displayName": "Figures"})
        login = await client.post("/auth:login", json={"email": email, "password": PASSWORD})
        headers = {"authorization": f"Bearer {login.json()['accessToken']}"}
        found = await client.get("/products", params={"pageSize": 100})
        products = [each["id"] for each in found.json()["products"] if each["availableQuantity"] >= 20]
        latencies = []
        for number in range(ORDERS + 20):
            request = order_of(products[number % len(products)], requestId=f"figures-{number}")
            started = time.perf_counter()
            response = await client.post("/orders", json=request, headers=headers)
            latencies.append((time.perf_counter() - started) * 1000)
            if response.json().get("state") != "CONFIRMED":
                sys.exit(f"an order was not confirmed: {response.text}")
        return latencies[20:]  # the first ones warm connections and statements up


def _reads_a_second(shop: RunningShop) -> float:
    found = httpx.get(f"http://{shop.address}/v1/products?pageSize=1").json()
    url = f"http://{shop.address}/v1/products/{found['products'][0]['id']}"
    done = subprocess.run(
        ["h2load", "--h1", f"-c{READ_CLIENTS}", "-t1", f"-D{READ_SECONDS}", "--warm-up-time=2", url],
        capture_output=True,
        text=True,
        check=True,
    )
    failed = re.search(r"(\d+) failed", done.stdout)
    if failed is None or int(failed[1]):
        sys.exit(f"reads failed:\n{done.stdout}")
    rate = re.search(r"([\d.]+) req/s", done.stdout)
    if rate is None:
        sys.exit(f"h2load said nothing of a rate:\n{done.stdout}")
    return float(rate[1])


def _import(shop: RunningShop) -> tuple[float, float]:
    """Seconds until the command ends, and until the last product's stock can be bought."""
    messy = write_messy_catalog(shop.home / "messy.csv", rows=IMPORT_ROWS, seed=1)
    started = time.monotonic()
    done = shop.zoco("import", str(messy.path), check=False)
    seconds = time.monotonic() - started
    if f"{messy.rows} rows: {messy.good} created, 0 updated, 0 unchanged" not in done.stdout:
        sys.exit(f"the import did not do what it should:\n{done.stdout[-500:]}{done.stderr}")
    newest = httpx.get(f"http://{shop.address}/v1/products", params={"orderBy": "create_time desc", "pageSize": 100})
    ids = [("productIds", each["id"]) for each in newest.json()["products"]]

    def is_stocked() -> bool:
        answer = httpx.get(f"http://{shop.address}/v1/stock:batchGet", params=ids)
        return answer.status_code == 200 and not answer.json()["missingIds"]

    wait_for(is_stocked, 300, "stock of the imported products")
    return seconds, time.monotonic() - started


def _percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    main()
