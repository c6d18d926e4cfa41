"""Where webhooks may go: addresses of the public internet, and inside only where the configuration says so.

Whoever may name a URL must not reach what only this process can: neighbours, the metadata service of a cloud, a port on
loopback. So a name is resolved here, once; what it means is judged; and what was judged is what is connected to. A name
that means something else a moment later (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out to the public (RFC 4291, 2.4); what lies elsewhere means something special."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""An IPv4 address, as networks without IPv4 write it (RFC 6052)."""
_SPECIAL: Final[Sequence[Network]] = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments (RFC 6890); one cloud's metadata service is in it
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4, deprecated (RFC 7526)
    ipaddress.IPv6Network("2001::/23"),  # the same as the first, with Teredo: an IPv4 address in disguise
    ipaddress.IPv6Network("2002::/16"),  # 6to4: another disguise
    ipaddress.IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
"""What is no place for a receiver, and is so by no version of Python, or not by each."""
_LAST_PORT: Final = 65535
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")


class NotAllowed(Exception):
    """A URL, or what it leads to, is no place for a webhook. The text is for its owner, and names no address."""


@dataclass(frozen=True)
class Rules:
    """What is allowed beyond https and public addresses.

    Attributes:
        networks: Private networks to which webhooks may go.
        http: Whether they may go in clear.
    """

    networks: Sequence[Network] = ()
    http: bool = False

    def allow(self, address: Address) -> bool:
        """Whether a webhook may go to an address."""
        plain = _unwrapped(address)
        return is_public(plain) or any(plain in network for network in self.networks)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet.

    Not private, shared, loopback, link-local (where clouds keep their metadata service), multicast, reserved, or one of
    these in another form.
    """
    plain = _unwrapped(address)
    if plain.is_multicast or plain.is_reserved or plain.is_unspecified or not plain.is_global:
        return False
    if isinstance(plain, ipaddress.IPv6Address) and plain not in _GLOBAL_UNICAST:
        return False
    return not any(plain in network for network in _SPECIAL)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def checked_url(text: str, rules: Rules) -> str:
    """A URL that a webhook can have, in its canonical form.

    What a host name leads to is judged at each attempt, for it may change; an address is judged here, too.

    Raises:
        NotAllowed: It is none, or it leads inside by what it says.
    """
    try:
        url = httpx.URL(
            str(httpx.URL(text))
        )  # the first time a usual port is known only under a scheme in small letters
    except (httpx.InvalidURL, UnicodeError) as error:
        raise NotAllowed("must be a URL such as https://example.com/hooks") from error
    if url.scheme != "https" and not (rules.http and url.scheme == "http"):
        raise NotAllowed("must begin with https://")
    if not url.host:
        raise NotAllowed("must name a host")
    if url.userinfo:
        raise NotAllowed("must not hold a user or a password")
    if url.fragment or text.endswith("#"):
        raise NotAllowed("must not hold a fragment")
    literal = _literal(url.host)
    if literal is None and not _NAME.fullmatch(url.raw_host.decode("ascii")):
        raise NotAllowed("must be a URL such as https://example.com/hooks")
    if url.port is not None and not 1 <= url.port <= _LAST_PORT:
        raise NotAllowed("must name a port that there is")
    if literal is not None and not rules.allow(literal):
        raise NotAllowed("must not lead to a private address")
    return str(url)


async def resolve(url: httpx.URL, rules: Rules) -> Sequence[Address]:
    """The addresses to connect to for a URL, in the order in which to try them, if all that its host has are allowed.

    Raises:
        NotAllowed: It has one that is not. Then none is taken: a public one beside it is a disguise.
        OSError: The name cannot be resolved.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.raw_host.decode("ascii").strip("[]"), port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is too long
        raise NotAllowed("the host has no name that can be resolved") from error
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    if not addresses or not all(rules.allow(address) for address in addresses):
        raise NotAllowed("the host leads to an address that is not public")
    return list(dict.fromkeys(addresses))


def _literal(host: str) -> Address | None:
    """The address that a host is, where it is one; a zone (`fe80::1%eth0`) belongs to link-local addresses alone."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
