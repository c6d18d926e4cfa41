"""A small gRPC server and client over mutual TLS, without a pipeline: what is tested is who gets through."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from cli.local.authority import read_trust
from cli.local.certificates import Authority, Leaf, certificate_pem, key_pem, new_leaf
from cli.local.pki import files_of

TICK_SECONDS = 0.02


def authority_of(pki: Path) -> Authority:
    trust = read_trust(pki)
    assert trust is not None
    return trust.issuer


def written(place: Path, leaf: Leaf, *trusted: Authority) -> Path:
    """Writes an identity as plain files."""
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files_of(leaf, certificate_pem(*(each.certificate for each in trusted))).items():
        (place / name).write_bytes(content)
    return place


def leaf(workload: str, authority: Authority, *, valid_from: timedelta = timedelta(0), **more: Any) -> Leaf:
    """A certificate that became, or will become, valid so long from now."""
    return new_leaf(workload, authority, datetime.now(UTC) + valid_from, **more)


def raw_server_credentials(identity: Leaf, trusted: Authority) -> grpc.ServerCredentials:
    """Those of a server that does not look at its own certificate."""
    pair = (key_pem(identity.key), certificate_pem(identity.certificate))
    return grpc.ssl_server_credentials([pair], certificate_pem(trusted.certificate), require_client_auth=True)


def raw_client_credentials(identity: Leaf, trusted: Authority) -> grpc.ChannelCredentials:
    """Those of a client that does not look at its own certificate."""
    return grpc.ssl_channel_credentials(
        certificate_pem(trusted.certificate), key_pem(identity.key), certificate_pem(identity.certificate)
    )


@asynccontextmanager
async def server(credentials: grpc.ServerCredentials, options: Sequence[tuple[str, int]] = ()) -> AsyncIterator[str]:
    """Serves Echo and Ticks. Gives the address."""
    running = grpc.aio.server(options=(("grpc.so_reuseport", 0), *options))
    handlers: dict[str, Any] = {
        "Echo": grpc.unary_unary_rpc_method_handler(_echo),
        "Ticks": grpc.unary_stream_rpc_method_handler(_ticks),
    }
    running.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Tls", handlers)])
    port = running.add_secure_port("127.0.0.1:0", credentials)
    await running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await running.stop(0)


def options_for(workload: str) -> tuple[tuple[str, Any], ...]:
    return (
        ("grpc.ssl_target_name_override", workload),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 200),
    )


async def echo(channel: grpc.aio.Channel) -> bytes:
    method: Any = channel.unary_unary("/test.Tls/Echo")
    answer: bytes = await method(b"ping", timeout=3)
    return answer


@dataclass
class Callers:
    """Several tasks that call without a pause, and one that reads a stream; what fails is kept."""

    channel: grpc.aio.Channel
    answered: int = 0
    ticks: int = 0
    failures: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def calling(self, tasks: int = 4) -> AsyncIterator["Callers"]:
        ended = asyncio.Event()
        running = [asyncio.create_task(self._call(ended)) for _ in range(tasks)]
        running.append(asyncio.create_task(self._listen(ended)))
        try:
            yield self
        finally:
            ended.set()
            await asyncio.gather(*running)

    async def progress(self) -> None:
        """Waits until more has been answered and ticked than now."""
        answered, ticks = self.answered + 4, self.ticks + 2
        await until(lambda: bool(self.failures) or (self.answered > answered and self.ticks > ticks))

    async def _call(self, ended: asyncio.Event) -> None:
        method: Any = self.channel.unary_unary("/test.Tls/Echo")
        while not ended.is_set():
            try:
                assert await method(b"ping", timeout=5) == b"ping"
                self.answered += 1
            except grpc.aio.AioRpcError as error:
                self.failures.append(f"{error.code().name}: {error.details()}")
            await asyncio.sleep(0.005)

    async def _listen(self, ended: asyncio.Event) -> None:
        ticks: Any = self.channel.unary_stream("/test.Tls/Ticks")
        stream = ticks(b"", timeout=60)
        try:
            async for tick in stream:
                assert int(tick) == self.ticks, "a tick is missing"
                self.ticks += 1
                if ended.is_set():
                    break
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"stream: {error.code().name}: {error.details()}")
        stream.cancel()


async def until(condition: Callable[[], bool], limit: float = 20) -> None:
    """Waits for a condition, at most `limit` seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"did not come to be within {limit} s"
        await asyncio.sleep(0.02)


async def _echo(request: bytes, context: Any) -> bytes:
    return request


async def _ticks(request: bytes, context: Any) -> AsyncIterator[bytes]:
    number = 0
    while True:
        yield str(number).encode()
        number += 1
        await asyncio.sleep(TICK_SECONDS)
