"""Loads echo servers from outside: each alone on one core, the load generator on the other."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from cli.local.pki import ensure_pki
from mesh.ids import uuid7
from tests.bench.echo_server import KEY_SET, KEYS_WORKLOAD, METHOD, WORKLOAD, Transport, Way
from tests.bench.figure import Sample
from tests.bench.load import (
    CLIENTS,
    GHZ,
    LOAD_CORE,
    ROOT,
    SERVER_CORE,
    Ghz,
    ghz_arguments,
    mutual_tls,
    need_ghz,
    observe,
    on_core,
)
from tests.harness import Tokens
from tests.mesh.probe import DESCRIPTORS, compile_probe

CALLER: Final = "edge"


@dataclass(frozen=True)
class EchoServer:
    """A server that runs, and how to load it."""

    process: psutil.Process
    port: int
    transport: Transport
    directory: Path
    token: str

    def sample(self) -> Sample:
        """Loads it for a slice."""
        sample, _ = observe(lambda: Ghz(*self.arguments()), self.process)
        return sample

    def call(self, times: int) -> None:
        """Calls it so many times."""
        command = [*on_core(LOAD_CORE), str(GHZ), *self.arguments(), f"--total={times}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        answers = json.loads(done.stdout)["statusCodeDistribution"]
        if set(answers) != {"OK"}:
            sys.exit(f"not every call was answered: {answers}")

    def arguments(self, clients: int = CLIENTS) -> list[str]:
        """What ghz is told to call it by so many clients."""
        metadata = f"--metadata={json.dumps({'authorization': f'Bearer {self.token}'})}"
        own = mutual_tls(self.directory / "pki" / CALLER, WORKLOAD)
        credentials = ["--insecure"] if self.transport == "plaintext" else own
        return ghz_arguments(
            self.port, self.directory / DESCRIPTORS, METHOD, {"text": "hello"}, metadata, *credentials, clients=clients
        )


class EchoServers:
    """Starts servers in one directory; all of them end with the context that made this.

    Attributes:
        directory: Has their contract, their keys and their logs.
        collector: Where their spans go, as `host:port`.
    """

    def __init__(self, directory: Path, ended: contextlib.ExitStack) -> None:
        self.directory = directory
        self._ended = ended
        tokens = Tokens()
        self._token = tokens.admin(uuid7())
        compile_probe(directory)
        (directory / "pki").mkdir()
        ensure_pki(directory / "pki", (WORKLOAD, KEYS_WORKLOAD, CALLER))
        (directory / KEY_SET).write_text(json.dumps(asyncio.run(tokens.key_set())))
        port, _ = self._start(LOAD_CORE, "collector")
        self.collector = f"127.0.0.1:{port}"

    def start(self, way: Way, transport: Transport, *, under: Sequence[str] = ()) -> EchoServer:
        """Starts a server on the servers' core; its log and its sampled spans go where a service's would.

        Args:
            way: How it serves.
            transport: Over what.
            under: A command that runs the server and watches it.
        """
        collector = f"http://{self.collector}"
        port, process = self._start(SERVER_CORE, way, transport, "--collector", collector, under=under)
        return EchoServer(psutil.Process(process.pid), port, transport, self.directory, self._token)

    def start_keys(self) -> int:
        """Starts what tells an edge the keys of tokens, on the load's core; gives its port."""
        port, _ = self._start(LOAD_CORE, "keys", "mtls")
        return port

    def _start(self, core: int, *arguments: str, under: Sequence[str] = ()) -> tuple[int, subprocess.Popen[str]]:
        log = self._ended.enter_context((self.directory / f"{'-'.join(arguments[:2])}.log").open("w"))
        process = subprocess.Popen(
            [*on_core(core), *under, sys.executable, "-m", "tests.bench.echo_server", str(self.directory), *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        self._ended.callback(process.wait)
        self._ended.callback(process.kill)
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            sys.exit(f"the server did not start:\n{Path(log.name).read_text()}")
        return int(line), process


@contextlib.contextmanager
def echo_servers() -> Iterator[EchoServers]:
    """Where servers are started; they end with it.

    Raises:
        GeneratorMissing: The load generator is not there.
    """
    need_ghz()
    with tempfile.TemporaryDirectory(prefix="zoco-bench-") as directory, contextlib.ExitStack() as ended:
        yield EchoServers(Path(directory), ended)
