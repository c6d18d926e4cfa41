"""Loads of one method from outside, by public load generators, and what a server does under them.

Looked at are calls on connections that stand, as they do between services for minutes, after a moment to warm up: a
handshake takes as long as several calls, and would weigh on the few that a slice of half a second has.
"""

import json
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final

import psutil

from tests.bench.figure import SECONDS, Sample

ROOT: Final = Path(__file__).parents[2]
GHZ: Final = ROOT / ".tools" / "bin" / "ghz"
H2LOAD: Final = "h2load"

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
CLIENTS: Final = 32
CONNECTIONS: Final = 4

WARM_UP: Final = 0.2
"""How long the server has worked, in seconds of its CPU time, before anything counts."""
LONGEST: Final = 60
"""Seconds after which a load ends by itself, whatever became of us."""


@dataclass(frozen=True)
class Answer:
    """A call that was answered.

    Args:
        ended: When, in seconds since 1970.
        took: Seconds.
        status: What the generator calls it.
    """

    ended: float
    took: float
    status: str


class Load(ABC):
    """A load generator at work.

    Args:
        command: Runs it.
        stdout: Where it tells what it did.
    """

    good: ClassVar[str]
    """The status of a call that succeeded."""

    def __init__(self, *command: str, stdout: int = subprocess.DEVNULL) -> None:
        self._process = subprocess.Popen([*on_core(LOAD_CORE), *command], stdout=stdout, text=True)

    def ended(self) -> bool:
        """Whether it is no longer at it."""
        return self._process.poll() is not None

    @abstractmethod
    def stop(self) -> None:
        """Ends it."""

    @abstractmethod
    def answers(self) -> Sequence[Answer]:
        """What was answered from its beginning until it was stopped."""


class GeneratorMissing(Exception):
    """A load generator is not there; the sentence says how to get it."""


def need_ghz() -> None:
    """Raises GeneratorMissing where ghz is missing."""
    if not GHZ.exists():
        raise GeneratorMissing("ghz, a load generator, is not in .tools/bin: make tools")


def need_generators() -> None:
    """Raises GeneratorMissing where one of the load generators is missing."""
    need_ghz()
    if shutil.which(H2LOAD) is None:
        raise GeneratorMissing("h2load, a load generator, is not installed (apt: nghttp2-client)")


class Ghz(Load):
    """Calls over gRPC by ghz, without a pause.

    Args:
        arguments: From `ghz_arguments`.
    """

    good = "OK"

    def __init__(self, *arguments: str) -> None:
        super().__init__(str(GHZ), *arguments, f"--duration={LONGEST}s", stdout=subprocess.PIPE)
        self._report = ""

    def stop(self) -> None:
        """Ends it."""
        self._process.send_signal(signal.SIGINT)
        self._report, _ = self._process.communicate()

    def answers(self) -> Sequence[Answer]:
        """What was answered from its beginning until it was stopped."""
        return [
            Answer(datetime.fromisoformat(each["timestamp"]).timestamp(), each["latency"] / 1e9, each["status"])
            for each in json.loads(self._report)["details"]
        ]


def ghz_arguments(
    port: int, protoset: Path, method: str, request: object, *more: str, clients: int = CLIENTS
) -> list[str]:
    """What ghz is told to call.

    Args:
        port: Of the server, on loopback.
        protoset: The descriptor set that has the method.
        method: `package.Service.Method`.
        request: Its message, as JSON has it.
        more: Credentials and metadata.
        clients: How many calls at once.
    """
    return [
        *(f"127.0.0.1:{port}", "--format=json", "--cpus=1", f"--protoset={protoset}", f"--call={method}"),
        *(f"--data={json.dumps(request)}", "--disable-template-functions", "--disable-template-data"),
        *(f"--concurrency={clients}", f"--connections={min(CONNECTIONS, clients)}", *more),
    ]


def mutual_tls(identity: Path, server: str) -> list[str]:
    """The credentials of a workload, for ghz.

    Args:
        identity: The directory of its certificate.
        server: The workload that is called.
    """
    own = {"cacert": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
    return [*(f"--{name}={identity / file}" for name, file in own.items()), f"--cname={server}"]


class H2load(Load):
    """Reads a URL by h2load, without a pause.

    Args:
        url: Of what.
        how: How many clients and streams, over which protocol.
    """

    good = "200"

    def __init__(self, url: str, *how: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="zoco-bench-")
        self._log = Path(self._directory.name) / "answers"
        super().__init__(H2LOAD, f"--duration={LONGEST}", "--threads=1", f"--log-file={self._log}", *how, url)

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()

    def answers(self) -> Sequence[Answer]:
        """What was answered from its beginning until it was stopped."""
        with self._directory:
            # The last line may be half written.
            lines = [line.split("\t") for line in self._log.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        # When each request began, in microseconds since 1970, its status, and how many it took.
        return [Answer((int(began) + int(took)) / 1e6, int(took) / 1e6, status) for began, status, took in lines]


def observe(
    start: Callable[[], Load], server: psutil.Process, seconds: float = SECONDS
) -> tuple[Sample, Sequence[float]]:
    """Loads a server; what it did in so many seconds, and how long each call took in them.

    Args:
        start: Begins the load.
        server: The process whose CPU time is counted.
        seconds: How long is looked.

    Raises:
        RuntimeError: The generator ended by itself, or a call was not answered well.
    """
    load = start()
    try:
        warm = _cpu_seconds(server) + WARM_UP
        while _cpu_seconds(server) < warm:
            if load.ended():
                raise RuntimeError("the load generator ended by itself")
            time.sleep(0.01)
        begun, before = time.time(), _cpu_seconds(server)
        time.sleep(seconds)
        ended, spent = time.time(), _cpu_seconds(server) - before
    finally:
        load.stop()
    inside = [answer for answer in load.answers() if begun <= answer.ended < ended]
    if {answer.status for answer in inside} != {load.good}:
        raise RuntimeError(f"not every call was answered: {Counter(answer.status for answer in inside)}")
    return Sample(len(inside), ended - begun, spent), [answer.took for answer in inside]


def _cpu_seconds(process: psutil.Process) -> float:
    """The CPU time that a process has used, all its threads included."""
    times = process.cpu_times()
    return float(times.user + times.system)


def on_core(core: int) -> list[str]:
    """What pins a command to a core; nothing where that is not known (macOS)."""
    return ["taskset", "--cpu-list", str(core)] if shutil.which("taskset") else []
