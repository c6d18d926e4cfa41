"""Loads echo servers from outside: each alone on one core, the load generator on the other."""

import asyncio
import contextlib
import json
import shutil
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
from tests.bench.echo_server import KEY_SET, METHOD, WORKLOAD, Transport, Way
from tests.bench.figure import SECONDS, Sample
from tests.harness import Tokens
from tests.mesh.probe import DESCRIPTORS, compile_probe

ROOT: Final = Path(__file__).parents[2]
GHZ: Final = ROOT / ".tools" / "bin" / "ghz"

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
CLIENTS: Final = 32
CONNECTIONS: Final = 4
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
        """Loads it for a slice, after a moment to warm up."""
        self._load(f"--duration={SECONDS / 2}s")
        before = self._cpu_seconds()
        count, elapsed = self._load(f"--duration={SECONDS}s")
        spent = self._cpu_seconds() - before
        return Sample(count, elapsed, spent)

    def call(self, times: int) -> None:
        """Calls it so many times."""
        self._load(f"--total={times}")

    def _cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def _load(self, extent: str) -> tuple[int, float]:
        """Calls it without a pause, for a time or a number of times; how many were answered, in how many seconds."""
        done = subprocess.run(
            [
                *_on(LOAD_CORE),
                *(str(GHZ), f"127.0.0.1:{self.port}", "--format=json", "--duration-stop=wait", "--cpus=1"),
                *(f"--protoset={self.directory / DESCRIPTORS}", f"--call={METHOD}", '--data={"text": "hello"}'),
                *("--disable-template-functions", "--disable-template-data"),
                *("--metadata", json.dumps({"authorization": f"Bearer {self.token}"})),
                *(extent, f"--concurrency={CLIENTS}", f"--connections={CONNECTIONS}"),
                *self._credentials(),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        report = json.loads(done.stdout)
        answers = report["statusCodeDistribution"]
        if set(answers) != {"OK"}:
            sys.exit(f"not every call was answered: {answers}, {report.get('errorDistribution')}")
        return report["count"], report["total"] / 1e9

    def _credentials(self) -> list[str]:
        if self.transport == "plaintext":
            return ["--insecure"]
        own = self.directory / "pki" / CALLER
        return [
            *(f"--cacert={own / 'ca.pem'}", f"--cert={own / 'cert.pem'}", f"--key={own / 'key.pem'}"),
            f"--cname={WORKLOAD}",
        ]


class EchoServers:
    """Starts servers in one directory; all of them end with the context that made this."""

    def __init__(self, directory: Path, ended: contextlib.ExitStack) -> None:
        self._directory = directory
        self._ended = ended
        tokens = Tokens()
        self._token = tokens.admin(uuid7())
        compile_probe(directory)
        (directory / "pki").mkdir()
        ensure_pki(directory / "pki", (WORKLOAD, CALLER))
        (directory / KEY_SET).write_text(json.dumps(asyncio.run(tokens.key_set())))
        self._collector, _ = self._start(LOAD_CORE, "collector")

    def start(self, way: Way, transport: Transport, *, under: Sequence[str] = ()) -> EchoServer:
        """Starts a server on the servers' core; its log and its sampled spans go where a service's would.

        Args:
            way: How it serves.
            transport: Over what.
            under: A command that runs the server and watches it.
        """
        collector = f"http://127.0.0.1:{self._collector}"
        port, process = self._start(SERVER_CORE, way, transport, "--collector", collector, under=under)
        return EchoServer(psutil.Process(process.pid), port, transport, self._directory, self._token)

    def _start(self, core: int, *arguments: str, under: Sequence[str] = ()) -> tuple[int, subprocess.Popen[str]]:
        log = self._ended.enter_context((self._directory / f"{'-'.join(arguments[:2])}.log").open("w"))
        process = subprocess.Popen(
            [*_on(core), *under, sys.executable, "-m", "tests.bench.echo_server", str(self._directory), *arguments],
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
        SystemExit: The load generator is not there.
    """
    if not GHZ.exists():
        sys.exit("ghz, the load generator, is not in .tools/bin: make tools")
    with tempfile.TemporaryDirectory(prefix="zoco-bench-") as directory, contextlib.ExitStack() as ended:
        yield EchoServers(Path(directory), ended)


def _on(core: int) -> list[str]:
    """What pins a command to a core; nothing where that is not known (macOS)."""
    return ["taskset", "--cpu-list", str(core)] if shutil.which("taskset") else []
