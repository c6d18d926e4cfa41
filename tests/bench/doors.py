"""Two ways to one read: over REST through the edge, and by native gRPC at the service's own door."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import psutil

from tests.bench.figure import Sample
from tests.bench.load import CLIENTS, CONNECTIONS, H2LOAD, Ghz, H2load, Load, observe

ALONE_SECONDS: Final = 3.0
"""How long one client at a time calls, for what a single call takes."""


@dataclass(frozen=True)
class Doors:
    """A service, and how to read from it.

    Args:
        service: Its process.
        edge: Envoy's.
        url: Of the read, at the edge.
        grpc_arguments: What `Ghz` is told for the same read by so many clients.
        headers: What each request over REST shows.
    """

    service: psutil.Process
    edge: psutil.Process
    url: str
    grpc_arguments: Callable[[int], Sequence[str]]
    headers: Mapping[str, str] = field(default_factory=dict)

    def sampled(self, load: Callable[[int], Load]) -> Callable[[], Sample]:
        """What loads for a slice and looks at the service meanwhile."""
        return lambda: observe(partial(load, CLIENTS), self.service)[0]

    def latency(self, load: Callable[[int], Load]) -> tuple[float, float]:
        """Median and 99th percentile of one client's calls, in milliseconds."""
        _, times = observe(partial(load, 1), self.service, ALONE_SECONDS)
        ordered = sorted(1000 * each for each in times)
        return ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]

    def rest(self, clients: int) -> Load:
        """Calls over REST, over HTTP/2 as gRPC: as many connections, as many calls at once."""
        connections = min(CONNECTIONS, clients)
        return self._rest(f"--clients={connections}", f"--max-concurrent-streams={clients // connections}")

    def rest_over_http1(self, clients: int) -> Load:
        """The same over HTTP/1.1, where each call at once has a connection of its own."""
        return self._rest("--h1", f"--clients={clients}")

    def grpc(self, clients: int) -> Load:
        """The same by gRPC, with the edge's own certificate."""
        return Ghz(*self.grpc_arguments(clients))

    def read(self, times: int) -> None:
        """Reads over REST so many times.

        Raises:
            RuntimeError: Not every read was answered well.
        """
        command = [H2LOAD, f"--requests={times}", "--clients=1", "--max-concurrent-streams=8", *self._shown(), self.url]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        if f"status codes: {times} 2xx" not in done.stdout:
            raise RuntimeError(f"not every read was answered: {done.stdout}")

    def _rest(self, *how: str) -> Load:
        return H2load(self.url, *self._shown(), *how)

    def _shown(self) -> list[str]:
        return [f"--header={name}: {value}" for name, value in self.headers.items()]
