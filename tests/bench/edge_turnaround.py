"""From a changed contract to an edge that runs it: the compiler, the configuration, Envoy until it answers.

Works on a copy of the tree. The change is one more REST rule: the answer to its path tells the new edge from the old.
No service stands behind.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from shutil import copytree
from statistics import median
from typing import Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from cli.local.binaries import envoy
from cli.local.pki import ensure_pki
from gateway.edge import render
from gateway.runtime import PORTAL, Address
from mesh.policy import load_policy
from tests.bench.figure import ROUNDS, Figure
from tests.gateway.edges import edge_runtime, write_secrets
from tests.ports import free_port

_ROOT: Final = Path(__file__).parents[2]
_COPIED: Final = ("protos", "generated", "mesh", "gateway", "cli", "services", "tests", "pyproject.toml", "buf.yaml")
_CHANGED: Final = "protos/zoco/product/v1/product_service.proto"
_RULE: Final = '{get: "/v1/products/{id}"}'
_PATH: Final = "/v1/wares/w1"
_LIMIT: Final = 120.0


def measure() -> list[Figure]:
    """Give the time as a figure, in milliseconds."""
    rounds = [seconds() * 1000 for _ in range(ROUNDS)]
    return [Figure("changed proto to running edge", median(rounds), (min(rounds), max(rounds)), "ms")]


def seconds() -> float:
    """Change a contract in a copy of the tree; give the seconds until an edge answers by it.

    Raises:
        RuntimeError: the compiler or Envoy failed, or the edge did not answer in time.
    """
    with tempfile.TemporaryDirectory(prefix="zoco-turnaround-") as directory:
        tree = Path(directory) / "tree"
        tree.mkdir()
        for name in _COPIED:
            source = _ROOT / name
            copytree(source, tree / name) if source.is_dir() else (tree / name).write_bytes(source.read_bytes())
        pki = Path(directory) / "pki"
        pki.mkdir()
        ensure_pki(pki, [*load_policy().workloads, PORTAL, "edge"])
        contract = tree / _CHANGED
        before = contract.read_text()
        also = _RULE.replace("{get:", '{additional_bindings: {get: "/v1/wares/{id}"} get:')
        contract.write_text(before.replace(_RULE, also, 1))
        if contract.read_text() == before:
            raise RuntimeError(f"{_CHANGED} has no rule {_RULE} any more")
        return _turnaround(tree, Path(directory))


def _turnaround(tree: Path, directory: Path) -> float:
    environment = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'generated'}"}
    port = free_port()
    started = time.monotonic()
    for command in (["mesh.compiler"], ["tests.bench.edge_turnaround", str(directory), str(port)]):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr}")
    log = directory / "envoy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(envoy(None)), "--config-path", str(directory / "edge.yaml"), "--disable-hot-restart"],
            stdout=output,
            stderr=output,
        )
    try:
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > started + _LIMIT:
                raise RuntimeError(f"the edge did not answer: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - started
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    """Tell whether the new path is known: the route is there, although no service is."""
    try:
        build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}{_PATH}", timeout=2)
    except HTTPError as answer:
        return answer.code == HTTPStatus.SERVICE_UNAVAILABLE
    except OSError:
        return False
    return False


def configure(directory: Path, port: int) -> None:
    """Write the configuration of an edge out of the tree that this runs in; no workload is at its address."""
    nowhere = {name: ["127.0.0.1:1"] for name in (*load_policy().workloads, PORTAL)}
    runtime = edge_runtime(directory / "pki", nowhere, "127.0.0.1:1", directory)
    runtime = replace(runtime, plain=Address("127.0.0.1", port))
    (directory / "edge.yaml").write_text(render(runtime))
    write_secrets(runtime, directory)


if __name__ == "__main__":
    configure(Path(sys.argv[1]), int(sys.argv[2]))
