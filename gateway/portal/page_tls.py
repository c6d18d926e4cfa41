"""TLS of the portal's HTTP server: the identity as it is at each handshake, and nobody without one of the mesh."""

import contextlib
import ssl
from pathlib import Path

from mesh.credentials import Identity


def following_context(identity: Identity) -> ssl.SSLContext:
    """Give a context for a server that looks for a new identity at every handshake.

    The context a server was started with is asked first for the name that is meant (SNI), and hands the handshake over
    to one with the present files. A server's own context cannot forget an authority, so each identity gets a new one.

    Args:
        identity: of the server.
    """
    front = _context(identity.directory)
    current = _context(identity.directory)
    shown = identity.material

    def hand_over(connection: ssl.SSLObject, _name: str | None, _front: ssl.SSLContext) -> None:
        nonlocal current, shown
        identity.renewed()
        if identity.material is not shown:
            # Files that change at this very moment are tried again at the next handshake.
            with contextlib.suppress(OSError):
                shown, current = identity.material, _context(identity.directory)
        connection.context = current

    front.sni_callback = hand_over
    return front


def _context(directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=directory / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    # A session that is resumed is not asked for its certificate again.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context
