"""The echo server behind the shop's own edge, whose contract has the echo beside all that it has otherwise."""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import psutil
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from cli.local.envoy import envoy_program
from cli.local.settings import LocalSettings
from gateway.edge import render
from gateway.runtime import PORTAL, Address
from mesh.policy import DESCRIPTORS, load_policy
from tests.bench.doors import Doors
from tests.bench.echo import EchoServers, echo_servers
from tests.bench.echo_server import KEYS_WORKLOAD, TRACE_RATIO, WORKLOAD
from tests.bench.load import LOAD_CORE, need_generators, on_core
from tests.gateway.edges import edge_runtime, write_secrets
from tests.harness import AUDIENCE, ISSUER
from tests.ports import free_port

PATH: Final = "/v1/rules/hello"
CONTRACT: Final = "with-echo.binpb"
NOBODY: Final = "127.0.0.1:1"
"""Where the workloads are that nobody calls here."""
START_SECONDS: Final = 60.0


@contextmanager
def echo_behind_edge(*, under: Sequence[str] = ()) -> Iterator[Doors]:
    """The server behind the whole pipeline over mTLS, as in `mtls`, read by an administrator.

    Args:
        under: A command that runs Envoy and watches it.

    Raises:
        GeneratorMissing: A load generator is not there.
        RuntimeError: The edge does not answer.
    """
    need_generators()
    with echo_servers() as servers, ExitStack() as ended:
        server = servers.start("pipeline", "mtls")
        port, admin = free_port(), free_port()
        edge = _start_edge(servers, server.port, port, admin, ended, under)
        url = f"http://127.0.0.1:{port}{PATH}"
        headers = {"authorization": f"Bearer {server.token}"}
        _wait_until_answered(url, headers, admin)
        yield Doors(server.process, edge, url, server.arguments, headers)


def _start_edge(
    servers: EchoServers, echo: int, port: int, admin: int, ended: ExitStack, under: Sequence[str]
) -> psutil.Process:
    """Starts Envoy on the load's core."""
    directory = servers.directory
    _write_contract(directory)
    workloads = {name: [NOBODY] for name in (*load_policy().workloads, PORTAL)}
    workloads |= {WORKLOAD: [f"127.0.0.1:{echo}"], KEYS_WORKLOAD: [f"127.0.0.1:{servers.start_keys()}"]}
    described = edge_runtime(directory / "pki", workloads, NOBODY, directory)
    runtime = replace(
        described,
        plain=Address("127.0.0.1", port),
        admin=Address("127.0.0.1", admin),
        files=replace(described.files, descriptors=str(directory / CONTRACT)),
        trace_collector=servers.collector,
        trace_ratio=TRACE_RATIO,
        token_issuer=ISSUER,
        token_audience=AUDIENCE,
    )
    config = directory / "edge.yaml"
    config.write_text(render(runtime))
    write_secrets(runtime, directory)
    log = ended.enter_context((directory / "envoy.log").open("wb"))
    command = envoy_program(LocalSettings(), config, workers=1).command
    process = subprocess.Popen([*on_core(LOAD_CORE), *under, *command], stdout=log, stderr=log)
    ended.callback(process.wait)
    ended.callback(process.terminate)
    return psutil.Process(process.pid)


def _write_contract(directory: Path) -> None:
    """The shop's contracts and the echo's in one set."""
    known = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    names = {file.name for file in known.file}
    echo = FileDescriptorSet.FromString((directory / DESCRIPTORS.name).read_bytes())
    known.file.extend(file for file in echo.file if file.name not in names)
    (directory / CONTRACT).write_bytes(known.SerializeToString())


def _wait_until_answered(url: str, headers: dict[str, str], admin: int) -> None:
    """Envoy has to find the services healthy, and to discover the keys: from then on it remembers tokens."""
    end = time.monotonic() + START_SECONDS
    said = ""
    while time.monotonic() < end:
        try:
            answer = httpx.get(url, headers=headers, trust_env=False)
            said = answer.text
            if answer.is_success and json.loads(said)["text"] == PATH.rpartition("/")[2] and _remembers(admin):
                return
        except httpx.HTTPError as error:
            said = str(error)
        time.sleep(0.05)
    raise RuntimeError(f"the edge does not answer: {said}")


def _remembers(admin: int) -> bool:
    stats = httpx.get(f"http://127.0.0.1:{admin}/stats?filter=jwt_cache_hit", trust_env=False).text
    return any(int(line.rpartition(":")[2]) for line in stats.splitlines())
