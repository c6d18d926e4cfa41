"""Keeps our ports from other shops, and from somebody's outgoing connection while nobody listens on them.

The services' ports, 50051 upward, lie within the range from which Linux picks the local end of a connection. Without
this, a connection to the database may sit on a service's port when that service wants to listen; and a client that
keeps trying a service that is still starting may in the end connect to itself (TCP's simultaneous open) and block the
port for a minute. A socket that is bound and does not listen prevents both: the kernel passes over its port, and a
server that sets SO_REUSEADDR, as all of ours do, may listen there all the same.
"""

import socket
import sys
from collections.abc import Iterable
from contextlib import ExitStack

from cli.failures import PortTaken
from cli.local.portcheck import LOOPBACK, claim
from cli.local.ports import Ports


class Reservation:
    """Ports that are ours until `close`."""

    def __init__(self, ports: Iterable[int]) -> None:
        """Reserve `ports` on loopback.

        Raises:
            PortTaken: another shop was faster with one of them.
        """
        self._sockets = ExitStack()
        if sys.platform != "linux":  # elsewhere the second bind would be refused
            return
        for port in ports:
            claimed = claim(port)
            if claimed is None:
                self._sockets.close()
                raise PortTaken(f"Port {port} was just taken by another shop on this machine; start again.")
            self._sockets.enter_context(claimed)
            held = self._sockets.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind((LOOPBACK, port))
            except OSError:
                held.close()

    def close(self) -> None:
        """Give the ports back."""
        self._sockets.close()


def every_port(ports: Ports) -> list[int]:
    """Return all ports of a system on which one of our processes listens."""
    single = (
        ports.edge,
        ports.edge_tls,
        ports.edge_admin,
        ports.page,
        ports.postgres,
        ports.nats,
        ports.nats_monitor,
        ports.audit,
    )
    groups = (ports.services, ports.metrics, ports.inner, ports.outbound, ports.sidecar_admin)
    return [port for port in (*single, *(port for group in groups for port in group.values())) if port]
