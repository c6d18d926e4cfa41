"""Whether a port is free, who has it otherwise, and claims by which shops on one machine keep apart."""

import errno
import socket
import sys

import psutil

from cli.failures import Failure, PortTaken

LOOPBACK = "127.0.0.1"


def claim(port: int) -> socket.socket | None:
    """Claim `port` until the result is closed, or return None if another shop has it.

    A name in the kernel's table of abstract sockets (Linux, unix(7)) that goes with the process that holds it. Between
    the moment a start chooses its ports and the moment a service listens there, nothing else shows that they are taken.
    """
    held = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        try:
            held.bind(f"\0zoco-port-{port}")
        except OSError:
            held.close()
            return None
    return held


def is_free(port: int) -> bool:
    """Return whether a server of ours could listen on `port`, and no other shop on this machine has claimed it."""
    claimed = claim(port)
    if claimed is None:
        return False
    claimed.close()
    # Linux counts a listener on all addresses as one on loopback too; others have to be asked for it.
    addresses = (LOOPBACK,) if sys.platform == "linux" else (LOOPBACK, "0.0.0.0")  # noqa: S104 - bound for a moment
    for address in addresses:
        with socket.socket() as probe:
            # Without it, the closed connections of the last run would count as taken for a minute.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise Failure(f"Port {port} cannot be used: {error.strerror}.") from None
    return True


def require_free(port: int, purpose: str, variable: str) -> None:
    """Check that nobody listens on `port`.

    Raises:
        PortTaken: with the program and pid that does, and the variable that moves ours.
    """
    if not is_free(port):
        raise PortTaken(f"Port {port} for {purpose} is taken by {_owner(port)}; set {variable} to move ours.")


def _owner(port: int) -> str:
    try:
        connections = [each for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port]
    except psutil.AccessDenied:  # macOS shows other processes' sockets to root only
        return "another process"
    listening = [each for each in connections if each.status == psutil.CONN_LISTEN]
    for connection in listening or connections:
        if connection.pid is None:
            return "another user's process"
        try:
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
        except psutil.NoSuchProcess:
            continue
    return "another process"
