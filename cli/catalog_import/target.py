"""Which shop an import goes to, and as whom: the one that runs here, or one at an address."""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from cli.failures import Failure
from cli.local.credentials import credentials
from cli.local.home import Home
from cli.local.running import shop_address
from cli.local.settings import LocalSettings

_SCHEMES = {"http", "https"}
_TLS_PORT = 443
EMAIL_VARIABLE = "ZOCO_ADMIN_EMAIL"
PASSWORD_VARIABLE = "ZOCO_ADMIN_PASSWORD"  # noqa: S105 - its name


@dataclass(frozen=True)
class Target:
    """An edge and an administrator.

    Attributes:
        address: host and port.
        tls: whether to speak TLS.
        email: the administrator's address.
        password: the administrator's password.
        authority: PEM certificates to trust instead of the system's, where TLS is spoken.
    """

    address: str
    tls: bool
    email: str
    password: str = field(repr=False)
    authority: bytes | None = None

    def channel(self) -> grpc.aio.Channel:
        """Return a channel to the edge; close it in the end."""
        if self.tls:
            return grpc.aio.secure_channel(self.address, grpc.ssl_channel_credentials(self.authority))
        return grpc.aio.insecure_channel(self.address)


def find_target(settings: LocalSettings, home: Home, address: str | None, authority: Path | None) -> Target:
    """Return where to import to.

    Args:
        settings: of the command line.
        home: the local state, in which the running shop's address and credentials stand.
        address: `host:port` or a URL, for another shop than the one that runs here.
        authority: a file of PEM certificates to trust.

    Raises:
        Failure: nothing runs here, or the address or the credentials cannot be used.
    """
    if address is None:
        shop = shop_address(settings, home)
        return Target(shop.grpc_target, False, shop.credentials.admin_email, shop.credentials.admin_password)
    host_and_port, tls, local = _parse(address)
    email, password = os.environ.get(EMAIL_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
    if not (email and password):
        if not local or not home.credentials_file.exists():
            # What opens the shop on this machine is not shown to another.
            raise Failure(f"Set {EMAIL_VARIABLE} and {PASSWORD_VARIABLE} to import to {host_and_port}.")
        own = credentials(home)
        email, password = own.admin_email, own.admin_password
    try:
        trusted = authority.read_bytes() if authority else None
    except OSError as error:
        raise Failure(f"{authority} cannot be read: {error.strerror}.") from None
    return Target(host_and_port, tls, email, password, trusted)


def _parse(address: str) -> tuple[str, bool, bool]:
    """Return host and port, whether it is TLS, and whether it is this machine."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or (parts.scheme and parts.scheme not in _SCHEMES) or (port is None and parts.scheme != "https"):
        raise Failure(f"{address} is no address; it must read like shop.example:443 or https://shop.example.")
    local = _is_loopback(host)
    tls = parts.scheme == "https" if parts.scheme or local else True
    if not tls and not local:
        raise Failure(f"A password does not travel to {host} in the clear; give an https address.")
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port or _TLS_PORT}", tls, local


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
