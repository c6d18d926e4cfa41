"""Ports that are reserved and still free to listen on."""

import errno
import socket
import sys

import pytest

from cli.local.reservation import Reservation
from tests.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is reserved")

_IP_LOCAL_PORT_RANGE = 51  # <linux/in.h>, since Linux 6.3; Python has no name for it


def connect_from_and_to(port: int) -> int:
    """The errno of a connection to `port` whose local end the kernel picks, and may pick from `port` alone."""
    with socket.socket() as client:
        only = (port << 16 | port).to_bytes(4, sys.byteorder)
        client.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, only)
        return client.connect_ex(("127.0.0.1", port))


def test_a_server_listens_on_a_reserved_port_again_and_again() -> None:
    port = free_port()
    held = Reservation([port])
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass
    held.close()


def test_a_client_that_keeps_trying_never_connects_to_itself() -> None:
    """Sooner or later the kernel picks the very port that the client tries; here it has no other to pick."""
    port = free_port()
    held = Reservation([port])
    assert connect_from_and_to(port) == errno.EADDRNOTAVAIL
    held.close()
    assert connect_from_and_to(port) == 0


def test_a_port_that_is_taken_is_left_to_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        Reservation([owner.getsockname()[1]]).close()
        assert owner.fileno() > 0
