"""Certificates and their authority rotate under load: real servers, real handshakes, no failed call."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from cli.local.authority import Trust
from cli.local.certificates import certificate_pem
from cli.local.pki import ensure_pki
from cli.local.rotation import rotate_authority, rotate_leaves
from mesh import renewed_channel
from mesh.certificates import spiffe_id
from mesh.credentials import read_material, server_credentials
from mesh.renewed_channel import RenewedChannel
from tests.mesh.tls import Callers, echo, options_for, server, until


@pytest.fixture
def own_pki(tmp_path: Path) -> Path:
    ensure_pki(tmp_path, ["order", "product"])
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at often, so that the tests need not wait."""
    monkeypatch.setattr(renewed_channel, "LOOK_SECONDS", 0.1)


@pytest.fixture
async def address(own_pki: Path) -> AsyncIterator[str]:
    async with server(server_credentials(own_pki / "order", spiffe_id("order"))) as listening:
        yield listening


@pytest.fixture
async def channel(own_pki: Path, address: str, quick: None) -> AsyncIterator[RenewedChannel]:
    async with RenewedChannel(address, own_pki / "product", options=options_for("order")) as opened:
        yield opened


async def test_no_call_fails_while_certificates_and_their_authority_rotate(
    own_pki: Path, address: str, channel: RenewedChannel
) -> None:
    before = read_material(own_pki / "product")
    loop = asyncio.get_running_loop()
    callers = Callers(channel)

    def settled(trust: Trust) -> None:
        """Waits until the client trusts whom the files say, and calls have been made with that."""
        followed = asyncio.run_coroutine_threadsafe(follow(certificate_pem(*trust.bundle)), loop)
        followed.result(20)

    async def follow(bundle: bytes) -> None:
        present = read_material(own_pki / "product")
        assert present.authorities == bundle
        await until(lambda: channel.current.material.certificate == present.certificate)
        await until(lambda: channel.current.material.authorities == bundle)
        await callers.progress()

    async with callers.calling():
        await callers.progress()
        rotate_leaves(own_pki, None)
        await follow(read_material(own_pki / "product").authorities)
        steps: list[str] = []
        trust = await asyncio.to_thread(rotate_authority, own_pki, settled, steps.append)
        await follow(certificate_pem(*trust.bundle))

    assert callers.failures == []
    assert len(steps) == 4
    with pytest.raises(grpc.aio.AioRpcError):
        # With the old certificate, though it trusts the new authority: it is the server that refuses.
        await connect(address, before.certificate, before.key, read_material(own_pki / "product").authorities)
    present = read_material(own_pki / "product")
    with pytest.raises(grpc.aio.AioRpcError):
        # With the new certificate, but trusting the old authority alone: nothing of it is left at the server.
        await connect(address, present.certificate, present.key, before.authorities)


async def test_a_channel_that_is_first_used_after_a_rotation_has_what_came_of_it(own_pki: Path, address: str) -> None:
    async with RenewedChannel(address, own_pki / "product", options=options_for("order")) as unused:
        await asyncio.to_thread(rotate_authority, own_pki, lambda _: None, lambda _: None)
        assert await echo(unused)


async def connect(address: str, certificate: bytes, key: bytes, authorities: bytes) -> bytes:
    credentials = grpc.ssl_channel_credentials(authorities, key, certificate)
    async with grpc.aio.secure_channel(address, credentials, options=options_for("order")) as channel:
        return await echo(channel)


async def test_a_stream_lives_on_with_the_identity_it_began_with_and_its_connection_ends_with_it(
    own_pki: Path, channel: RenewedChannel
) -> None:
    stream = channel.unary_stream("/test.Tls/Ticks")(b"", timeout=60)
    assert await stream.read() == b"0"
    old = channel.current

    rotate_leaves(own_pki, "product")
    await until(lambda: channel.current is not old)

    assert await echo(channel) == b"ping"
    assert await stream.read() == b"1"
    assert old.channel.get_state() is grpc.ChannelConnectivity.READY
    stream.cancel()
    await until(lambda: is_closed(old.channel))


def is_closed(channel: grpc.aio.Channel) -> bool:
    return channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_a_pair_that_does_not_fit_is_said_once_and_the_old_one_stays(
    own_pki: Path, address: str, channel: RenewedChannel
) -> None:
    assert await echo(channel) == b"ping"
    before = channel.current
    # As a program does that writes one file after the other, and is killed between them.
    for workload in ("order", "product"):
        place = own_pki / workload
        (place / "key.pem").unlink()
        (place / "key.pem").write_bytes((own_pki / "edge-tls" / "key.pem").read_bytes())

    # The channel looks again and again; the server does for each of these connections.
    with capture_logs() as lines:
        for _ in range(3):
            present = before.material
            assert await connect(address, present.certificate, present.key, present.authorities) == b"ping"
        await until(lambda: len(lines) == 2)
        await asyncio.sleep(0.3)

    assert sorted(line["reason"] for line in lines) == [
        f"{own_pki / workload / 'key.pem'} is not the key of the certificate of {spiffe_id(workload)}"
        for workload in ("order", "product")
    ]
    assert channel.current is before
    assert await echo(channel) == b"ping"


async def test_who_is_dropped_is_out_when_its_connection_has_its_age_and_nobody_else_loses_a_call(
    own_pki: Path, quick: None
) -> None:
    age = (("grpc.max_connection_age_ms", 500), ("grpc.max_connection_age_grace_ms", 30_000))
    before = read_material(own_pki / "product")
    async with (
        server(server_credentials(own_pki / "order"), age) as address,
        RenewedChannel(address, own_pki / "product", options=options_for("order")) as channel,
        grpc.aio.secure_channel(address, before.channel_credentials(), options=options_for("order")) as dropped,
        Callers(channel).calling() as callers,
    ):
        assert await echo(dropped) == b"ping"
        rotate_authority(own_pki, lambda _: None, lambda _: None)

        async def refused() -> grpc.aio.AioRpcError:
            while True:
                try:
                    await echo(dropped)
                except grpc.aio.AioRpcError as error:
                    return error
                await asyncio.sleep(0.02)

        assert (await asyncio.wait_for(refused(), 20)).code() is grpc.StatusCode.UNAVAILABLE
        for _ in range(10):
            await callers.progress()

    assert callers.failures == []
