"""Who is at the other end of a connection, by the certificate that it showed."""

import time
from collections.abc import Collection
from typing import Any, Final

REMEMBERED: Final = 60.0
"""Seconds after which everything is read again."""


class Peers:
    """Reads the SPIFFE ids of callers, of each connection once. One object a server.

    gRPC makes all that a certificate says anew whenever it is asked, which costs as much as many a stage. A connection
    is known by its address together with the names in its certificate: an address alone is used again once its
    connection has ended, and names alone are told without their kind (docs/decisions/036).
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str | bytes, ...], tuple[bytes, ...]] = {}
        self._forgets_at = 0.0

    def spiffe_ids(self, context: Any) -> Collection[bytes]:
        """The SPIFFE ids of a call's peer: one, or none.

        Args:
            context: grpc.aio.ServicerContext.
        """
        now = time.monotonic()
        if now >= self._forgets_at:
            self._known.clear()
            self._forgets_at = now + REMEMBERED
        address = context.peer()
        connection = (address, *(context.peer_identities() or ()))
        ids = self._known.get(connection)
        if ids is None:
            ids = tuple(context.auth_context().get("peer_spiffe_id", ()))
            if address.startswith(("ipv4:", "ipv6:")):  # a socket of the file system has one address for all
                self._known[connection] = ids
        return ids
