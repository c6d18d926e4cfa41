"""Runs one service in the test's own process: real database, broker and wire with mTLS; only neighbours are made up."""

import base64
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.credentials import client_credentials, server_credentials
from mesh.data.database import Database
from mesh.errors import MeshError, from_rpc_error
from mesh.ids import uuid7
from mesh.server import Servicer
from mesh.service import Build, Running, Runtime, Service, start
from mesh.settings import MeshSettings
from mesh.tokens import ALGORITHM, TOKEN_TYPE
from tests.fixtures.brokers import account_url

ISSUER = "https://zoco.local"
AUDIENCE = "zoco"


@dataclass(frozen=True)
class Tokens:
    """Signs access tokens that the services under test accept."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    kid: str = "test-key"

    def mint(
        self, user_id: str, role: str = "CUSTOMER", *, headers: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """An access token; claims and headers given replace those of a good one, None takes one away."""
        now = datetime.now(UTC)
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "role": role,
            "iat": now.timestamp(),  # to the microsecond, as the shop's own: a revocation tells before from after
            "nbf": now,
            "exp": now + timedelta(seconds=900),
            "jti": str(uuid.uuid4()),
        }
        chosen = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(chosen, self.key, ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": self.kid, **(headers or {})})

    def customer(self, user_id: str | None = None) -> str:
        """A customer's token."""
        return self.mint(user_id or uuid7())

    def admin(self, user_id: str | None = None) -> str:
        """An administrator's token."""
        return self.mint(user_id or uuid7(), "ADMIN")

    async def key_set(self) -> Mapping[str, Any]:
        """The JSON Web Key Set that verifies them."""
        raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": ALGORITHM, "use": "sig", "kid": self.kid, "x": x}]}


async def refused(call: Awaitable[Any]) -> MeshError:
    """The typed error a call ends with; the test fails where it is answered."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    pytest.fail(f"was not refused: {answer}")


class Databases(Protocol):
    """The PostgreSQL fixture."""

    async def database(self, service: str) -> str:
        """A fresh, migrated database of a service; its URL."""


@dataclass
class ServiceUnderTest:
    """A service that runs in this process."""

    workload: str
    running: Running
    database_url: str
    pki: Path
    _open: AsyncExitStack

    @property
    def database(self) -> Database:
        """Its database."""
        return self.running.runtime.database

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.running.port}"

    def channel(self, caller: str = "edge", token: str | None = None, **metadata: str) -> grpc.aio.Channel:
        """A channel to it as a workload, perhaps with a person's token on every call. Errors are plain AioRpcError."""
        options = (("grpc.ssl_target_name_override", self.workload), ("grpc.use_local_subchannel_pool", 1))
        headers = list(metadata.items())
        if token is not None:
            headers.append(("authorization", f"Bearer {token}"))
        channel = grpc.aio.secure_channel(
            self.address, client_credentials(self.pki / caller), options=options, interceptors=_adding(headers)
        )
        self._open.push_async_callback(channel.close)
        return channel


@dataclass
class Harness:
    """Starts services and neighbours for a test."""

    postgres: Databases
    nats_url: str
    pki: Path
    tokens: Tokens

    @asynccontextmanager
    async def running(
        self,
        workload: str,
        build: Build[Any],
        *,
        settings: type[MeshSettings] = MeshSettings,
        peers: Mapping[str, Sequence[str]] | None = None,
        database_url: str | None = None,
        **extra: Any,
    ) -> AsyncIterator[ServiceUnderTest]:
        """Runs a service through the constructor that production uses.

        Args:
            workload: Its name; gives certificate and database.
            build: Its constructor.
            settings: Its settings class.
            peers: Addresses of its neighbours, from `neighbour`.
            database_url: An existing database, to see a service come back; a fresh one if None.
            extra: Settings by their environment variable's name.
        """
        url = database_url or await self.postgres.database(workload)
        values = {
            "ZOCO_LISTEN": "127.0.0.1:0",
            "ZOCO_METRICS_LISTEN": "127.0.0.1:0",
            "DATABASE_URL": url,
            "NATS_URL": account_url(self.nats_url, workload),
            "ZOCO_PKI_DIR": self.pki / workload,
            "ZOCO_PEERS": {name: list(addresses) for name, addresses in (peers or {}).items()},
            "ZOCO_DRAIN_SECONDS": 0,
            "ZOCO_GRACE_SECONDS": 1,
            **extra,
        }

        async def with_test_keys(runtime: Runtime[Any]) -> Service:
            service = await build(runtime)
            return service if service.token_keys else replace(service, token_keys=self.tokens.key_set)

        async with AsyncExitStack() as open_channels:
            running = await start(workload, with_test_keys, settings.model_validate(values))
            open_channels.push_async_callback(running.stop)
            yield ServiceUnderTest(workload, running, url, self.pki, open_channels)

    @asynccontextmanager
    async def neighbour(self, workload: str, *servicers: Servicer) -> AsyncIterator[str]:
        """Serves made-up servicers under a workload's certificate, without a pipeline. Gives the address."""
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        for add, servicer in servicers:
            add(servicer, server)
        port = server.add_secure_port("127.0.0.1:0", server_credentials(self.pki / workload))
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)


def _adding(headers: Sequence[tuple[str, str]]) -> list[grpc.aio.ClientInterceptor]:
    return [_AddToUnary(headers), _AddToStream(headers)] if headers else []


class _AddToUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, headers: Sequence[tuple[str, str]]) -> None:
        self._headers = headers

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(_with(client_call_details, self._headers), request)


class _AddToStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, headers: Sequence[tuple[str, str]]) -> None:
        self._headers = headers

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(_with(client_call_details, self._headers), request)


def _with(details: Any, headers: Sequence[tuple[str, str]]) -> Any:
    return details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), *headers))
