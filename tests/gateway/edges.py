"""A real Envoy with the emitted configuration, neighbours behind it, and the portal."""

import asyncio
import json
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import grpc
import httpx
import yaml

from cli.local.binaries import envoy
from gateway.edge import render, secret_files
from gateway.identity import IdentityFiles
from gateway.portal.process import start as start_portal
from gateway.portal.settings import PortalSettings
from gateway.runtime import PORTAL, Address, EdgeFiles, EdgeRuntime
from mesh.ids import uuid7
from mesh.policy import DESCRIPTORS
from tests.gateway.neighbours import Neighbour, policy
from tests.gateway.signing_in import bearer_interceptors
from tests.harness import Tokens

LOOPBACK = "127.0.0.1"
ORIGIN = "http://localhost:3000"


@dataclass
class Edge:
    """A running edge and what stands behind it.

    Attributes:
        tokens: whose keys the user service behind it publishes.
        bearer: the access token that `rest` and the channels show of themselves; None shows none.
        bare: a channel that shows none in any case.
    """

    url: str
    tls_url: str
    admin: str
    authority: Path
    log: Path
    neighbours: dict[str, Neighbour]
    client: httpx.AsyncClient
    channel: grpc.aio.Channel
    secure_channel: grpc.aio.Channel
    bare: grpc.aio.Channel
    tokens: Tokens
    bearer: str | None
    process: asyncio.subprocess.Process

    def of(self, path: str) -> Neighbour:
        """Give the neighbour that serves a gRPC path."""
        return self.neighbours[policy().methods[path].workload]

    async def rest(self, verb: str, path: str, *, headers: Any = None, **arguments: Any) -> httpx.Response:
        sent = {**self.shown, **dict(headers or {})}
        return await self.client.request(verb, self.url + path, headers=sent, **arguments)

    @property
    def shown(self) -> dict[str, str]:
        """The header with the token, if there is one."""
        return {"authorization": f"Bearer {self.bearer}"} if self.bearer else {}

    async def stats(self, pattern: str) -> dict[str, int]:
        """Give Envoy's own counters whose name matches."""
        answer = await self.client.get(f"{self.admin}/stats", params={"filter": pattern})
        found = (line.rsplit(": ", 1) for line in answer.text.splitlines())
        return {name: int(value) for name, value in found if value.isdecimal()}

    async def remembers_tokens(self) -> None:
        """Wait until the filter that fetches keys has given way to the one that has them, and remembers tokens."""
        await until(self._has_discovered, "Envoy has the token filter with its keys")

    async def _has_discovered(self) -> bool:
        return bool(sum((await self.stats("jwt_authn.config_reload$")).values()))

    async def reaches_everybody(self) -> None:
        """Wait until every neighbour is healthy for the edge, also after a test that kept their loop from answering."""
        await until(lambda: _all_healthy(self.client, self.admin, set()), "all clusters are healthy")

    def forget(self) -> None:
        for neighbour in self.neighbours.values():
            neighbour.forget()


def edge_runtime(
    pki: Path,
    workloads: Mapping[str, Sequence[str]],
    page: str,
    directory: Path,
    *,
    environment: Literal["dev", "production"] = "dev",
) -> EdgeRuntime:
    """Describe an edge on free ports of this machine; its files go to the directory."""
    free = Address(LOOPBACK, 0)
    return EdgeRuntime(
        environment=environment,
        plain=free,
        tls=free,
        admin=free,
        workloads={name: tuple(addresses) for name, addresses in workloads.items()},
        page=(page,),
        files=EdgeFiles(
            identity=IdentityFiles(str(pki / "edge"), str(directory / "sds/edge")),
            public=IdentityFiles(str(pki / "edge-tls"), str(directory / "sds/edge-tls")),
            descriptors=str(DESCRIPTORS),
            keys_socket=str(directory / "keys.sock"),
        ),
        origins=(ORIGIN,),
    )


async def start_edge(
    stack: AsyncExitStack,
    pki: Path,
    directory: Path,
    *,
    environment: Literal["dev", "production"] = "dev",
    also: Mapping[str, Neighbour] | None = None,
    instead: Mapping[str, Neighbour] | None = None,
    tokens: Tokens | None = None,
    signed_in: bool = False,
    alter: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Edge:
    """Start neighbours, portal and Envoy; all end with the stack.

    Args:
        stack: ends them.
        pki: identities of all workloads.
        directory: for configuration and log.
        environment: of the edge and the portal.
        also: a second process of a workload.
        instead: what stands where a workload's only process should; nobody waits until it is healthy.
        tokens: whose keys the user service publishes.
        signed_in: whether calls show an administrator's token where they name none.
        alter: changes the configuration before Envoy reads it.
    """
    neighbours = {name: Neighbour(name, pki / name) for name in policy().workloads} | dict(instead or {})
    tokens = tokens or Tokens()
    for neighbour in (*neighbours.values(), *(also or {}).values()):
        neighbour.keys = tokens
    for neighbour in (*neighbours.values(), *(also or {}).values()):
        await neighbour.start()
        stack.push_async_callback(neighbour.kill)
    addresses = {name: [neighbour.address] for name, neighbour in neighbours.items()}
    for name, second in (also or {}).items():
        addresses[name].append(second.address)
    portal = await start_portal(portal_settings(pki, addresses, environment=environment))
    stack.push_async_callback(portal.stop)
    runtime = edge_runtime(
        pki,
        {**addresses, PORTAL: [f"{LOOPBACK}:{portal.port}"]},
        f"{LOOPBACK}:{portal.page_port}",
        directory,
        environment=environment,
    )
    process, admin = await _start_envoy(stack, runtime, directory, alter)
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=15))
    plain, tls = await _listeners(client, admin)
    lasting = datetime.now(UTC) + timedelta(hours=6)  # an edge may serve all tests of a run
    bearer = tokens.mint(uuid7(), "ADMIN", exp=lasting) if signed_in else None
    shows = bearer_interceptors(bearer) if bearer else ()
    channel = grpc.aio.insecure_channel(f"{LOOPBACK}:{plain}", interceptors=shows)
    bare = grpc.aio.insecure_channel(f"{LOOPBACK}:{plain}")
    root = grpc.ssl_channel_credentials((pki / "ca.pem").read_bytes())
    secure = grpc.aio.secure_channel(f"localhost:{tls}", root, interceptors=shows)
    for each in (channel, bare, secure):
        stack.push_async_callback(each.close)
    edge = Edge(
        url=f"http://{LOOPBACK}:{plain}",
        tls_url=f"https://localhost:{tls}",
        admin=admin,
        authority=pki / "ca.pem",
        log=directory / "envoy.log",
        neighbours=neighbours,
        client=client,
        channel=channel,
        secure_channel=secure,
        bare=bare,
        tokens=tokens,
        bearer=bearer,
        process=process,
    )
    await until(lambda: _all_healthy(client, admin, set(instead or {})), "all clusters are healthy")
    source = policy().token_keys
    if source and source.workload not in (instead or {}):
        await until(lambda: _has_keys(client, admin), "the edge has the keys of tokens")
    return edge


def managers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the HTTP connection managers of what clients connect to."""
    for listener in config["static_resources"]["listeners"]:
        if "pipe" not in listener["address"]:
            yield listener["filter_chains"][0]["filters"][0]["typed_config"]


def routes_of(host: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the routes of a virtual host, each as often as it can be found."""
    for found in host["matcher"]["matcher_tree"]["prefix_match_map"]["map"].values():
        yield from found["action"]["typed_config"]["routes"]


def write_secrets(runtime: EdgeRuntime, directory: Path) -> None:
    """Write the SDS files of an edge that `edge_runtime` described."""
    for name, text in secret_files(runtime).items():
        path = directory / "sds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def portal_settings(
    pki: Path, addresses: Mapping[str, Sequence[str]], *, environment: Literal["dev", "production"] = "dev"
) -> PortalSettings:
    return PortalSettings.model_validate(
        {
            "ZOCO_ENV": environment,
            "ZOCO_PKI_DIR": pki / PORTAL,
            "ZOCO_LISTEN": f"{LOOPBACK}:0",
            "ZOCO_PORTAL_HTTP_LISTEN": f"{LOOPBACK}:0",
            "ZOCO_PEERS": {name: list(each) for name, each in addresses.items()},
            "ZOCO_DRAIN_SECONDS": 0,
            "ZOCO_GRACE_SECONDS": 1,
        }
    )


async def until(condition: Callable[[], Awaitable[bool]], what: str, *, seconds: float = 30) -> None:
    """Wait until a condition holds, and fail by its name if it never does."""
    end = time.monotonic() + seconds
    while not await _holds(condition):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.05)


async def _holds(condition: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await condition()
    except httpx.ConnectError:
        return False  # Envoy writes down the address of its admin page a moment before it listens there


async def raw_call(channel: grpc.aio.Channel, path: str, body: bytes = b"") -> bytes:
    """Call any path, known to the contract or not."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    return await call(body)


def grpc_web_frame(payload: bytes) -> bytes:
    """Give a gRPC-Web body of one message (PROTOCOL-WEB)."""
    return b"\x00" + struct.pack(">I", len(payload)) + payload


def grpc_web_frames(body: bytes) -> list[tuple[int, bytes]]:
    """Take a gRPC-Web answer apart: (flags, payload) of each frame; flag 128 marks the trailers."""
    frames = []
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        frames.append((flags, body[5 : 5 + length]))
        body = body[5 + length :]
    return frames


async def _start_envoy(
    stack: AsyncExitStack, runtime: EdgeRuntime, directory: Path, alter: Callable[[dict[str, Any]], None]
) -> tuple[asyncio.subprocess.Process, str]:
    config, admin = directory / "edge.yaml", directory / "admin.txt"
    settings = yaml.safe_load(render(runtime))
    alter(settings)
    config.write_text(yaml.safe_dump(settings))
    write_secrets(runtime, directory)
    with (directory / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(envoy(None)),
            *("--config-path", str(config), "--admin-address-path", str(admin)),
            *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
            *("--file-flush-interval-msec", "50"),
            stdout=log,
            stderr=log,
        )

    async def end() -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    stack.push_async_callback(end)

    async def listens() -> bool:
        assert process.returncode is None, (directory / "envoy.log").read_text()
        return admin.exists() and bool(admin.read_text())

    await until(listens, "Envoy's admin page is up")
    return process, f"http://{admin.read_text().strip()}"


async def _listeners(client: httpx.AsyncClient, admin: str) -> tuple[int, int]:
    ports: dict[str, int] = {}

    async def known() -> bool:
        answer = await client.get(f"{admin}/listeners?format=json")
        for status in json.loads(answer.text).get("listener_statuses", ()):
            if socket := status["local_address"].get("socket_address"):
                ports[status["name"]] = socket["port_value"]
        return {"plain", "tls"} <= ports.keys()

    await until(known, "Envoy's listeners are up")
    return ports["plain"], ports["tls"]


async def _all_healthy(client: httpx.AsyncClient, admin: str, excepted: set[str]) -> bool:
    answer = await client.get(f"{admin}/clusters?format=json")
    hosts = [
        host
        for cluster in json.loads(answer.text)["cluster_statuses"]
        if cluster["name"] not in excepted
        for host in cluster.get("host_statuses", ())
        if "socket_address" in host["address"]
    ]
    return len(hosts) > 1 and not any(host["health_status"].get("failed_active_health_check") for host in hosts)


async def _has_keys(client: httpx.AsyncClient, admin: str) -> bool:
    answer = await client.get(f"{admin}/stats?filter=jwt_authn.(config_reload|jwks_fetch_success)$")
    return any(int(line.rpartition(":")[2]) for line in answer.text.splitlines())
