"""Ports for what a test starts."""

import socket

_given: set[int] = set()


def free_port() -> int:
    """A port of loopback on which nobody listens, never one that was given before.

    What asks for several begins to listen only when it has them all; the kernel would by then repeat itself.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def free_edge_port() -> int:
    """A port that is free together with the TLS port that follows from it."""
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 363))
            except (OSError, OverflowError):
                continue
        return port
