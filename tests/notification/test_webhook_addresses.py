"""Where webhooks may go: the public internet, and nothing that only this process can reach."""

import ipaddress
import socket
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notification.webhooks.addresses import NotAllowed, Rules, checked_url, is_public, resolve

STRICT = Rules()
LOOPBACK = Rules(networks=(ipaddress.ip_network("127.0.0.0/8"),), http=True)

INSIDE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - nothing is bound: it is refused
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",  # shared by carriers (RFC 6598); a cloud's metadata service is at 100.100.100.200
    "100.100.100.200",
    "169.254.169.254",  # the metadata service of most clouds
    "169.254.0.1",
    "192.0.0.192",  # of another one
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # IPv4-compatible
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",  # 6to4 of 127.0.0.1
    "2002:808:808::1",
    "2001:0:7f00:1::1",  # Teredo
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",  # the metadata service again
    "fe80::1",
    "fe80::a9fe:a9fe",
    "fec0::1",
    "ff02::1",
    "100::1",
]
OUTSIDE = ["93.184.215.14", "8.8.8.8", "1.1.1.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700:4700::1111"]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert not STRICT.allow(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_form(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(0xFFFF_0000_0000 | int(address))
    translated = ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | int(address))

    assert is_public(mapped) == is_public(translated) == is_public(address)


def test_a_network_that_is_named_is_allowed_and_no_other() -> None:
    assert LOOPBACK.allow(ipaddress.ip_address("127.0.0.1"))
    assert LOOPBACK.allow(ipaddress.ip_address("::ffff:127.0.0.1"))
    assert not LOOPBACK.allow(ipaddress.ip_address("::1"))
    assert not LOOPBACK.allow(ipaddress.ip_address("10.0.0.1"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/hooks", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("gopher://127.0.0.1:5432/", "must begin with https://"),
        ("example.com/hooks", "must begin with https://"),
        ("", "must begin with https://"),
        ("https://", "must name a host"),
        ("https:///hooks", "must name a host"),
        ("https://user:password@example.com/", "must not hold a user"),
        ("https://user@example.com/", "must not hold a user"),
        ("https://example.com/#part", "must not hold a fragment"),
        ("https://example.com/#", "must not hold a fragment"),
        ("https://exa mple.com/", "must be a URL"),
        ("https://example.com:99999/", "must name a port"),
        ("https://example.com/\r\nhost: inside", "must be a URL"),
        ("https://[::1/", "must be a URL"),
        ("https://[fe80::1%25eth0]/", "must"),
        *((f"https://{address}/", "private address") for address in INSIDE if ":" not in address),
        *((f"https://[{address}]/", "private address") for address in INSIDE if ":" in address),
    ],
)
def test_a_url_that_leads_inside_or_nowhere_is_refused(url: str, why: str) -> None:
    with pytest.raises(NotAllowed, match=why):
        checked_url(url, STRICT)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://Example.COM/Hooks?Key=1", "https://example.com/Hooks?Key=1"),
        ("HTTPS://example.com:443/hooks", "https://example.com/hooks"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
    ],
)
def test_one_url_has_one_form(url: str, canonical: str) -> None:
    assert checked_url(url, STRICT) == canonical
    assert checked_url(canonical, STRICT) == canonical


# What the C library takes for an address besides the usual form; none of these is one for `ipaddress`.
@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.1", "127.1", "localhost"])
async def test_a_name_that_means_an_address_inside_is_refused_once_it_is_resolved(host: str) -> None:
    with pytest.raises((NotAllowed, OSError)):
        await resolve(httpx.URL(f"https://{host}/"), STRICT)


def names(*addresses: str) -> Any:
    """A resolver by which every name has these addresses."""

    async def getaddrinfo(host: str, port: int, **arguments: Any) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    return getaddrinfo


@pytest.mark.parametrize("others", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1", "8.8.8.8"], ["fe80::1%lo"], []])
async def test_one_address_inside_is_enough_to_refuse_a_name(
    others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", lambda _, *a, **k: names(*others)(*a, **k))

    with pytest.raises(NotAllowed):
        await resolve(httpx.URL("https://example.com/"), STRICT)


async def test_a_public_name_gives_its_addresses_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    found = names("2606:4700:4700::1111", "1.1.1.1", "1.1.1.1")
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", lambda _, *a, **k: found(*a, **k))

    given = await resolve(httpx.URL("https://example.com/"), STRICT)
    assert [str(address) for address in given] == ["2606:4700:4700::1111", "1.1.1.1"]
