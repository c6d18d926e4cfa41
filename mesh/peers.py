"""Who is at the other end of a connection, by the certificate that it showed."""

import time
from collections.abc import Callable, Collection
from typing import Any, Final, Generic, TypeVar

SECONDS: Final = 1.0
"""For how long at most a certificate that was read is remembered: nothing outlives its connection for longer."""

Told = TypeVar("Told")


class Peers(Generic[Told]):
    """What the certificates of callers tell, of each connection read once a second. One object a server.

    gRPC makes all that a certificate says anew whenever it is asked, which costs more than most stages. A connection is
    known by its address together with the names in its certificate: an address alone is used again once its connection
    has ended, and names alone come without their kind (docs/decisions/036).

    Args:
        tell: What SPIFFE ids tell: none, where there is no certificate or it has none.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self, tell: Callable[[Collection[bytes]], Told], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._told: dict[tuple[str | bytes, ...], Told] = {}
        self._forgets_at = 0.0

    def of(self, context: Any) -> Told:
        """What the certificate of a call's peer tells.

        Args:
            context: grpc.aio.ServicerContext.
        """
        now = self._clock()
        if now >= self._forgets_at:
            self._told.clear()
            self._forgets_at = now + SECONDS
        address = context.peer()
        connection = (address, *(context.peer_identities() or ()))
        if connection in self._told:
            return self._told[connection]
        told = self._tell(context.auth_context().get("peer_spiffe_id", ()))
        if address.startswith(("ipv4:", "ipv6:")):  # a socket of the file system has one address for all
            self._told[connection] = told
        return told
