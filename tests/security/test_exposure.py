"""All that an unauthenticated remote client can reach, found by walking everything; it is what the contract says.

Ports are found by looking at what listens, RPCs out of the contract, by every protocol. Default is deny: whatever
answers and is not expected here fails.
"""

import asyncio
import ipaddress
import json
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import httpx
import psutil
import pytest

from mesh.policy import Audience, MethodPolicy, load_policy
from tests.journeys.running import RunningShop
from tests.journeys.transports import refusal_of

POLICY = load_policy()
PUBLIC = {method.path for method in POLICY.methods.values() if method.audience is Audience.PUBLIC}

BESIDE_THE_CONTRACT = {
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}
"""RPCs that the edge answers in `dev` though no contract of ours names them."""

PAGES = {"", "/..", "/docs", "/status", "/openapi.json", "/healthz", "/livez"}
"""The portal's pages without a slash at their end, and whether the edge itself is alive; `/..` is `/` (RFC 3986)."""

ODD_PATHS = [
    *("/", "/index.html", "/robots.txt", "/favicon.ico", "/.env", "/.git/config", "/.well-known/openid-configuration"),
    *("/healthz", "/livez", "/readyz", "/health", "/ready", "/status", "/metrics", "/stats", "/stats/prometheus"),
    *("/docs", "/docs/", "/openapi.json", "/swagger", "/swagger.json", "/redoc", "/graphql", "/console", "/admin"),
    *("/config_dump", "/clusters", "/listeners", "/server_info", "/logging", "/memory", "/runtime", "/certs"),
    *("/debug/pprof/", "/varz", "/connz", "/jsz", "/v1", "/v1/", "/v1/internal", "/v2/products", "/api/v1/products"),
    *("/v1/payments:capture", "/v1/stock:reserve", "/v1/payments/authorize", "/v1/auth:jwks", "/jwks.json"),
    *("/..", "/%2e%2e/etc/passwd", "/v1/products/..%2f..%2fetc%2fpasswd", "//v1//orders", "/V1/PRODUCTS"),
]

REFUSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED}


def test_nothing_listens_but_what_is_known_and_nothing_beyond_this_machine(shop: RunningShop) -> None:
    listening = dict(_listening(shop))
    ports = json.loads((shop.home / "run.json").read_text())["ports"]
    known = {port for value in ports.values() for port in (value.values() if isinstance(value, dict) else [value])}

    assert ports["edge"] in listening
    assert set(listening) <= known, f"ports that nobody gave out: {sorted(set(listening) - known)}"
    assert all(ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback for address in listening.values()), (
        listening
    )


def test_every_port_but_the_edges_is_closed_to_who_shows_nothing(shop: RunningShop) -> None:
    ports = json.loads((shop.home / "run.json").read_text())["ports"]
    # Envoy's admin pages, the broker's monitor and the metrics are for whoever is on this machine.
    local = {ports["edge_admin"], ports["nats_monitor"], ports["audit"], *ports["metrics"].values()}
    local |= set(ports.get("sidecar_admin", {}).values())
    public = {ports["edge"], ports["edge_tls"]}

    for port in sorted(dict(_listening(shop)).keys() - local - public):
        assert not _answers(port), f"port {port} answers whoever asks"


async def test_no_rpc_answers_nobody_by_native_grpc_but_the_public_ones(shop: RunningShop) -> None:
    reached = set()
    async with grpc.aio.insecure_channel(shop.address) as channel:
        for method in POLICY.methods.values():
            if await _native(channel, method.path, streams=method.server_streaming) not in REFUSED:
                reached.add(method.path)
        for path in (*BESIDE_THE_CONTRACT, *_unlisted()):
            if await _native(channel, path, streams="Reflection" in path or "Watch" in path) not in REFUSED:
                reached.add(path)

    print("reached by native gRPC:", *sorted(reached), sep="\n  ")
    assert reached == PUBLIC | BESIDE_THE_CONTRACT


async def test_no_rpc_answers_nobody_by_grpc_web_but_the_public_ones(shop: RunningShop) -> None:
    reached = set()
    async with _client(shop) as client:
        for method in POLICY.methods.values():
            status = await _grpc_web(client, method.path)
            if status not in {code.value[0] for code in REFUSED}:
                reached.add(method.path)
        assert all([await _grpc_web(client, path) == 12 for path in _unlisted()])

    print("reached by gRPC-Web:", *sorted(reached), sep="\n  ")
    assert reached == PUBLIC


async def test_no_route_answers_nobody_by_rest_but_the_public_ones(shop: RunningShop) -> None:
    reached = set()
    async with _client(shop) as client:
        for method, verb, path in _routes():
            answer = await _stubborn(client, verb, path)
            if answer not in {401, 403, 404, 405, 501} or (answer == 404 and method.path in PUBLIC):
                reached.add(method.path)

    print("reached by REST:", *sorted(reached), sep="\n  ")
    assert reached == {path for path in PUBLIC if POLICY.methods[path].routes}


async def test_no_odd_path_answers_but_the_portals_pages(shop: RunningShop) -> None:
    reached = set()
    async with _client(shop) as client:
        for path in ODD_PATHS:
            for verb in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
                answer = await client.request(verb, path)
                if answer.status_code < 400:
                    reached.add(f"{verb} {path}")

    print("reached by odd paths:", *sorted(reached), sep="\n  ")
    assert {each.split()[0] for each in reached} <= {"GET", "HEAD"}
    assert {each.split()[1].rstrip("/") for each in reached} <= PAGES
    assert "GET /healthz" in reached


async def test_the_tls_port_opens_no_more_than_the_plain_one(shop: RunningShop) -> None:
    port = json.loads((shop.home / "run.json").read_text())["ports"]["edge_tls"]
    trust = ssl.create_default_context(cafile=str(shop.home / "pki" / "ca.pem"))
    async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trust, timeout=15) as client:
        assert (await client.get("/v1/categories")).status_code == 200
        assert (await client.get("/v1/orders")).status_code == 401
        assert (await client.get("/stats")).status_code == 404
        assert (await client.post("/zoco.payment.v1.PaymentService/Capture")).status_code == 404
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(shop.home / "pki" / "ca.pem")
        with pytest.warns(DeprecationWarning, match="TLSVersion"):
            old.minimum_version = old.maximum_version = version
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("localhost", port, ssl=old)


async def test_reflection_tells_of_what_is_exposed_only(shop: RunningShop) -> None:
    hidden = {method.name for method in POLICY.methods.values() if method.audience is Audience.NONE}
    ask = b"\x22\x20" + b"zoco.payment.v1.PaymentService.x"[:32]
    async with grpc.aio.insecure_channel(shop.address) as channel:
        stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        )
        asked = b"zoco.payment.v1.PaymentService"
        for request in (b"\x22" + bytes([len(asked)]) + asked, ask):
            call = stream(iter([request]), timeout=10)
            told = b"".join([each async for each in call])
            assert not [name for name in hidden if re.search(rb"\b" + name.encode() + rb"\b", told)]


def _listening(shop: RunningShop) -> Iterator[tuple[int, str]]:
    """Every TCP port that a process of the shop listens on, with its address."""
    recorded = json.loads((shop.home / "run.json").read_text())
    for each in (recorded["supervisor"], *recorded["processes"]):
        root = psutil.Process(each["pid"])
        for process in (root, *root.children(recursive=True)):
            try:
                connections = process.net_connections("inet")
            except psutil.NoSuchProcess:  # one of PostgreSQL's, which come and go; it listens no more
                continue
            for connection in connections:
                if connection.status == psutil.CONN_LISTEN:
                    yield connection.laddr.port, connection.laddr.ip


def _answers(port: int) -> bool:
    """Whether a port gives anything to a request without credentials: a page, an RPC, a session."""
    with httpx.Client(timeout=2) as client:
        try:
            if client.get(f"http://127.0.0.1:{port}/").status_code < 400:
                return True
        except httpx.TransportError:
            pass
    with httpx.Client(timeout=2, verify=_trusting()) as client:
        try:
            client.get(f"https://127.0.0.1:{port}/")
        except httpx.TransportError:
            return False
    return True


def _trusting() -> ssl.SSLContext:
    """An attacker believes anybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _unlisted() -> list[str]:
    """RPCs that services or proxies serve and the edge must not."""
    return [
        "/grpc.health.v1.Health/Watch",
        "/grpc.health.v1.Health/List",
        "/grpc.channelz.v1.Channelz/GetTopChannels",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
        "/zoco.payment.v1.PaymentService/NoSuchMethod",
        "/zoco.gateway.v1.Portal/X",
    ]


def _routes() -> Iterator[tuple[MethodPolicy, str, str]]:
    for method in POLICY.methods.values():
        for route in method.routes:
            yield method, route.verb, re.sub(r"\{[^}]*\}", "00000000-0000-7000-8000-000000000000", route.path)


@asynccontextmanager
async def _client(shop: RunningShop) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{shop.address}", timeout=15) as client:
        yield client


async def _stubborn(client: httpx.AsyncClient, verb: str, path: str) -> int:
    """Asks again where a limit speaks first; how it ends. Of a stream only the beginning is read."""
    for _ in range(100):
        async with client.stream(verb, path, json={} if verb in {"POST", "PATCH", "PUT"} else None) as answer:
            if answer.status_code != 429:
                return answer.status_code
        await asyncio.sleep(0.1)
    return 429


async def _native(channel: grpc.aio.Channel, path: str, *, streams: bool) -> grpc.StatusCode:
    call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
    for _ in range(100):
        stream = call(b"", timeout=2 if streams else 15)
        try:
            async for _message in stream:
                stream.cancel()
                return grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            code = refusal_of(error).code
        else:
            return grpc.StatusCode.OK
        if code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            return code
        await asyncio.sleep(0.1)
    return grpc.StatusCode.RESOURCE_EXHAUSTED


async def _grpc_web(client: httpx.AsyncClient, path: str) -> int:
    headers = {"content-type": "application/grpc-web+proto"}
    for _ in range(100):
        async with client.stream("POST", path, content=b"\0\0\0\0\0", headers=headers) as answer:
            status = answer.headers.get("grpc-status")
            if status is None:
                try:
                    async with asyncio.timeout(2):
                        body = await answer.aread()
                except TimeoutError:
                    return 0  # a stream that goes on
                found = re.search(rb"grpc-status: ?(\d+)", body)
                status = found[1].decode() if found else "0"
        if int(status) != grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]:
            return int(status)
        await asyncio.sleep(0.1)
    return grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
