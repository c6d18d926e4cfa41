"""Ports that are reserved and still free to listen on."""

import random
import socket
import sys

import pytest

from cli.local.reservation import Reservation
from tests.cli.checkout import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is reserved")


def free_even_port() -> int:
    """A port on which nothing is left, not even a connection that has ended: one that a connecting socket gets first.

    `free_port` gives odd ones, and its even neighbour may belong to a connection of anybody on this machine.
    """
    while True:
        with socket.socket() as probe:
            port = random.randrange(34_000, 58_000, 2)  # within the range of local ports, away from our own
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def local_ports_of_connections(target: int, count: int) -> set[int]:
    """The local ports that the kernel picks for connection after connection to a port where nobody listens."""
    picked = set()
    for _ in range(count):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", target)) == 0:
                picked.add(client.getsockname()[1])
    return picked


def test_a_server_listens_on_a_reserved_port_again_and_again() -> None:
    port = free_port()
    held = Reservation([port])
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass
    held.close()


def test_a_client_that_keeps_trying_never_connects_to_itself() -> None:
    """Within the range of local ports, one try in fourteen thousand would; the kernel walks through them in turn."""
    port = free_even_port()
    held = Reservation([port])
    assert local_ports_of_connections(port, 30_000) == set()
    held.close()
    assert local_ports_of_connections(port, 30_000) == {port}


def test_a_port_that_is_taken_is_left_to_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        Reservation([owner.getsockname()[1]]).close()
        assert owner.fileno() > 0
