"""How to ask each kind of process whether it is healthy. A probe returns None for yes, or the reason why not."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from psycopg.pq import PGconn, Ping

from cli.local.portcheck import LOOPBACK
from mesh.credentials import BadCredentials
from mesh.renewed_channel import RenewedChannel

Probe = Callable[[], Awaitable[str | None]]

_TIMEOUT = 2.0
# gRPC's own first reconnect comes after a second: too slow for a start that takes two.
_EAGER = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


class GrpcHealth:
    """grpc.health.v1 over mTLS, for a whole server."""

    def __init__(self, port: int, identity: Path) -> None:
        """Ask the server on `port` as the workload whose certificate stands in the directory `identity`."""
        self._port = port
        self._identity = identity
        self._channel: grpc.aio.Channel | None = None

    async def __call__(self) -> str | None:
        """Return None when the server says SERVING, else what it says instead."""
        if not await _listens(self._port):
            return "does not listen yet"
        if self._channel is None:
            try:
                self._channel = RenewedChannel(f"{LOOPBACK}:{self._port}", self._identity, options=_EAGER)
            except BadCredentials as bad:
                return f"our own identity: {bad}"
        stub = health_pb2_grpc.HealthStub(self._channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            return f"health check: {error.code().name}: {error.details()}"
        status = answer.status
        if status == health_pb2.HealthCheckResponse.SERVING:
            return None
        return f"health check: {health_pb2.HealthCheckResponse.ServingStatus.Name(status)}"


class HttpHealth:
    """A path that answers 200 when all is well."""

    def __init__(self, port: int, path: str) -> None:
        """Ask `http://127.0.0.1:port/path`."""
        self._port = port
        self._path = path

    async def __call__(self) -> str | None:
        """Return None on 200, else the status line or why there was none."""
        try:
            status, _ = await http_request("GET", self._port, self._path)
        except (OSError, HTTPException) as error:
            return f"{self._path}: {str(error) or type(error).__name__}"
        return None if status == 200 else f"{self._path}: {status}"


class EnvoyHealth:
    """Envoy: ready once it takes requests and has found every process that it calls healthy.

    Until its own health checks have passed, it answers 503 for services that serve already. A service that fails later
    is reported as itself, not as a fault of this Envoy.
    """

    def __init__(self, admin: int, behind: Iterable[str]) -> None:
        """Ask Envoy's admin port.

        Args:
            admin: the port.
            behind: the `host:port` addresses that must be found healthy.
        """
        self._admin = admin
        self._ready = HttpHealth(admin, "/ready")
        self._unseen = set(behind)

    async def __call__(self) -> str | None:
        """Return None when requests reach every service, else what is missing."""
        reason = await self._ready()
        if reason is not None:
            return reason
        try:
            return await self._missing()
        except (OSError, HTTPException) as error:
            return f"the admin page: {str(error) or type(error).__name__}"

    async def _missing(self) -> str | None:
        if self._unseen:
            for line in await self._page("/clusters"):
                fields = line.split("::")
                if fields[2:] == ["health_flags", "healthy"]:
                    self._unseen.discard(fields[1])
        return f"has not reached {', '.join(sorted(self._unseen))} yet" if self._unseen else None

    async def _page(self, path: str) -> list[str]:
        _, body = await http_request("GET", self._admin, path)
        return body.decode().splitlines()


class EdgeHealth(EnvoyHealth):
    """The edge: until it has the keys of tokens, too, it answers 503 for calls that bring one."""

    def __init__(self, admin: int, behind: Iterable[str], *, keys: bool) -> None:
        """Ask Envoy's admin port.

        Args:
            admin: the port.
            behind: the `host:port` addresses that must be found healthy.
            keys: whether there is a service that gives the keys.
        """
        super().__init__(admin, behind)
        self._awaits_keys = keys

    async def _missing(self) -> str | None:
        reason = await super()._missing()
        if reason is not None or not self._awaits_keys:
            return reason
        # Fetched by the filter that Envoy begins with, or discovered with the one that follows it.
        counted = await self._page("/stats?filter=jwt_authn.(config_reload|jwks_fetch_success)$")
        self._awaits_keys = not any(int(line.rpartition(":")[2]) for line in counted)
        return "has no keys of tokens yet" if self._awaits_keys else None


class PostgresHealth:
    """libpq's ping: whether the server accepts connections."""

    def __init__(self, port: int) -> None:
        """Ask the server on `port`."""
        self._info = f"host={LOOPBACK} port={port} connect_timeout=2".encode()

    async def __call__(self) -> str | None:
        """Return None when connections are accepted."""
        answer = await asyncio.to_thread(PGconn.ping, self._info)
        match answer:
            case Ping.OK:
                return None
            case Ping.REJECT:
                return "starting up or shutting down"
            case _:
                return "does not answer"


async def http_request(method: str, port: int, path: str) -> tuple[int, bytes]:
    """Return status and body of a plain HTTP request to loopback, within two seconds.

    Raises:
        OSError: nobody listens, the connection broke, or no answer came in time.
        http.client.HTTPException: the answer is not HTTP.
    """
    return await asyncio.to_thread(_request, method, port, path)


def _request(method: str, port: int, path: str) -> tuple[int, bytes]:
    with contextlib.closing(HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()


async def http_json(port: int, path: str) -> object:
    """Return the JSON document at a loopback address; the errors are those of `http_request`."""
    _, body = await http_request("GET", port, path)
    return json.loads(body)


async def _listens(port: int) -> bool:
    try:
        async with asyncio.timeout(_TIMEOUT):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
