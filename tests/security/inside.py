"""Behind the edge: the service ports of the running shop, with whatever identity an attacker could have there."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from tests.journeys.running import RunningShop
from tests.journeys.transports import Refused, refusal_of


@dataclass
class Inside:
    """Calls services on their own ports."""

    shop: RunningShop
    ports: dict[str, int]
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    def channel(self, workload: str, identity: Path | str | None) -> grpc.aio.Channel:
        """A channel to a workload's own port.

        Args:
            workload: whose.
            identity: name of a workload whose certificate to show, or a directory; None for no certificate.
        """
        pki = self.shop.home / "pki"
        trusted = (pki / "ca.pem").read_bytes()
        if identity is None:
            credentials = grpc.ssl_channel_credentials(trusted)
        else:
            place = pki / identity
            credentials = grpc.ssl_channel_credentials(
                trusted, (place / "key.pem").read_bytes(), (place / "cert.pem").read_bytes()
            )
        options = (("grpc.ssl_target_name_override", workload), ("grpc.use_local_subchannel_pool", 1))
        channel = grpc.aio.secure_channel(f"127.0.0.1:{self.ports[workload]}", credentials, options=options)
        self._open.push_async_callback(channel.close)
        return channel

    def plaintext(self, workload: str) -> grpc.aio.Channel:
        """A channel without TLS."""
        channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{self.ports[workload]}", options=(("grpc.use_local_subchannel_pool", 1),)
        )
        self._open.push_async_callback(channel.close)
        return channel

    async def close(self) -> None:
        """Ends all channels."""
        await self._open.aclose()


async def raw_call(
    channel: grpc.aio.Channel,
    path: str,
    body: bytes = b"",
    metadata: Sequence[tuple[str, str]] = (),
    limit: float = 15,
) -> bytes:
    """Calls any unary method with any bytes; the answer's bytes.

    Raises:
        Refused: it was refused.
    """
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    try:
        return await call(body, timeout=limit, metadata=tuple(metadata))
    except grpc.aio.AioRpcError as error:
        raise refusal_of(error) from None


async def refusal(
    channel: grpc.aio.Channel, path: str, body: bytes = b"", metadata: Sequence[tuple[str, str]] = ()
) -> Refused:
    """How a call is refused; fails where it is answered."""
    try:
        await raw_call(channel, path, body, metadata)
    except Refused as refused:
        return refused
    raise AssertionError(f"{path} was answered")
