"""One attempt over a real connection: what counts as taken, what is never followed, and how long it may last."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.local.certificates import certificate_pem, key_pem, new_authority, new_leaf
from services.notification.webhooks.addresses import Rules
from services.notification.webhooks.sender import Sender
from tests.notification.receiver import answer, receiving

LOOPBACK = Rules(networks=(ipaddress.ip_network("127.0.0.0/8"),), http=True)
BODY = b'{"type":"order.placed"}'


def sender(rules: Rules = LOOPBACK, **settings: Any) -> Sender:
    return Sender(rules, **{"timeout": timedelta(seconds=5), **settings})


async def test_a_request_carries_its_body_and_headers_to_the_path_of_the_url() -> None:
    async with receiving() as receiver:
        attempt = await sender().send(f"{receiver.url}?key=1", {"webhook-id": "one"}, BODY)

    [request] = receiver.requests
    assert attempt.is_delivered
    assert attempt.status == 204
    assert request.line == "POST /hooks?key=1 HTTP/1.1"
    assert request.body == BODY
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Zoco-Webhooks/")
    assert request.headers["webhook-id"] == "one"


@pytest.mark.parametrize(
    ("status", "taken"), [(200, True), (202, True), (299, True), (400, False), (410, False), (500, False)]
)
async def test_only_2xx_means_taken(status: int, taken: bool) -> None:
    async with receiving() as receiver:
        receiver.usual = answer(status)
        attempt = await sender().send(receiver.url, {}, BODY)

    assert attempt.is_delivered == taken
    assert attempt.status == status
    assert attempt.is_gone == (status == 410)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with receiving() as inside, receiving() as receiver:
        receiver.usual = answer(status, f"location: {inside.url}")
        attempt = await sender().send(receiver.url, {}, BODY)

    assert not attempt.is_delivered
    assert attempt.error == f"answered {status}: redirects are not followed"
    assert len(receiver.requests) == 1
    assert not inside.requests


async def test_a_receiver_inside_is_not_even_connected_to() -> None:
    async with receiving() as receiver:
        for url in (
            receiver.url,
            receiver.url.replace("127.0.0.1", "localhost"),
            f"http://[::ffff:7f00:1]:{receiver.port}/",
        ):
            attempt = await sender(Rules(http=True)).send(url, {}, BODY)
            assert attempt.status is None
            assert attempt.error == "the host leads to an address that is not public"
        assert not receiver.requests
        assert not receiver.together


async def test_in_clear_nothing_is_sent_once_that_is_no_longer_allowed() -> None:
    async with receiving() as receiver:
        attempt = await sender(Rules(networks=LOOPBACK.networks)).send(receiver.url, {}, BODY)

    assert attempt.error == "the URL does not begin with https://"
    assert not receiver.together


async def test_what_was_resolved_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = asyncio.base_events.BaseEventLoop.getaddrinfo

    async def rebinding(loop: Any, host: str, port: int, **arguments: Any) -> Any:
        """Gives a name an address that is allowed the first time, and another one after it."""
        if host != "rebinding.example":
            return await real(loop, host, port, **arguments)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", rebinding)
    async with receiving() as receiver:
        url = f"http://rebinding.example:{receiver.port}/hooks"
        first = await sender().send(url, {}, BODY)
        second = await sender().send(url, {}, BODY)

    assert first.is_delivered
    assert receiver.requests[0].headers["host"] == f"rebinding.example:{receiver.port}"
    assert second.error == "the host leads to an address that is not public"
    assert len(asked) == 2, "once for each attempt"


async def test_where_nobody_is_at_one_address_the_next_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(loop: Any, host: str, port: int, **arguments: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)
    async with receiving() as receiver:
        attempt = await sender().send(f"http://receiver.example:{receiver.port}/", {}, BODY)

    assert attempt.is_delivered
    assert len(receiver.requests) == 1


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await sender().send(receiver.url, {}, BODY)).is_delivered

    assert not proxy.requests


async def test_what_one_receiver_says_reaches_no_other() -> None:
    async with receiving() as receiver:
        receiver.usual = answer(200, "set-cookie: session=1")
        same = sender()
        for _ in range(2):
            assert (await same.send(receiver.url, {}, BODY)).is_delivered

    assert "cookie" not in receiver.requests[1].headers


async def test_a_silent_receiver_is_given_up_in_time() -> None:
    async with receiving() as receiver:
        receiver.silent = True
        attempt = await sender(timeout=timedelta(seconds=0.2)).send(receiver.url, {}, BODY)

    assert attempt.status is None
    assert attempt.error == "no answer within 0.2 s"


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers a letter at a time, so that no single wait is long."""
    try:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.02)
    except OSError:
        writer.close()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers a body without end."""
    try:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
    except OSError:
        writer.close()


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers headers without end."""
    try:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: " + b"y" * 10_000 + b"\r\n")
            await writer.drain()
    except OSError:
        writer.close()


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.com ESMTP\r\n")
    writer.close()


async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("behaviour", "taken"),
    [(dripping, False), (endless, True), (endless_head, False), (nonsense, False), (hanging_up, False)],
)
async def test_a_hostile_receiver_costs_a_bounded_time(behaviour: Callable[..., Any], taken: bool) -> None:
    ended = asyncio.Event()

    async def behaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await behaviour(reader, writer)
        ended.set()

    server = await asyncio.start_server(behaving, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    started = asyncio.get_running_loop().time()

    attempt = await sender(timeout=timedelta(seconds=0.5)).send(url, {}, BODY)

    assert attempt.is_delivered == taken
    assert "220" not in attempt.error, "what was answered is not repeated to whoever reads the log"
    assert asyncio.get_running_loop().time() - started < 3
    await asyncio.wait_for(ended.wait(), 5)  # the connection is not left open, either
    server.close()


async def test_nobody_at_the_address_is_a_failure_and_no_error() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        attempt = await sender().send(f"http://127.0.0.1:{probe.getsockname()[1]}/", {}, BODY)

    assert not attempt.is_delivered
    assert attempt.error


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("86400", 3600), ("999999999999999999", 3600), ("-1", None), ("soon", None), ("", None)],
)
async def test_a_receiver_may_ask_to_be_left_alone_for_an_hour_at_most(value: str, seconds: int | None) -> None:
    async with receiving() as receiver:
        receiver.usual = answer(503, f"retry-after: {value}")
        attempt = await sender().send(receiver.url, {}, BODY)

    assert attempt.wish == (None if seconds is None else timedelta(seconds=seconds))


@pytest.fixture
def certified(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority's certificate, and what a receiver of the name `receiver` shows that it signed."""
    authority = new_authority(datetime.now(UTC))
    identity = new_leaf("receiver", authority, datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(certificate_pem(authority.certificate))
    (tmp_path / "receiver.pem").write_bytes(certificate_pem(identity.certificate) + key_pem(identity.key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "receiver.pem")
    return tmp_path / "ca.pem", context


@pytest.fixture
def everybody_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(loop: Any, host: str, port: int, **arguments: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("everybody_on_loopback")
async def test_a_certificate_must_be_of_the_name_in_the_url_and_of_an_authority_that_is_trusted(
    certified: tuple[Path, ssl.SSLContext],
) -> None:
    authority, context = certified
    rules = Rules(networks=LOOPBACK.networks)
    async with receiving(tls=context) as receiver:
        good, other = (f"https://{name}:{receiver.port}/hooks" for name in ("receiver", "another"))
        taken = await sender(rules, authorities=authority).send(good, {}, BODY)
        misnamed = await sender(rules, authorities=authority).send(other, {}, BODY)
        untrusted = await sender(rules).send(good, {}, BODY)

    assert taken.is_delivered
    assert receiver.requests[0].headers["host"] == f"receiver:{receiver.port}"
    assert "CERTIFICATE_VERIFY_FAILED" in misnamed.error
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted.error
    assert len(receiver.requests) == 1
