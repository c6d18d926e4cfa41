"""Why two workloads do not get through to each other: a TLS handshake of our own, and what it shows, in one log line.

gRPC tells neither side who was refused. A client can find out: it sees the other's certificate, and its own.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from mesh.certificates import Fault, fault, find_fault
from mesh.clock import Clock, utc_now
from mesh.credentials import Identity
from mesh.logs import logger

EVERY_SECONDS: Final = 60.0
"""Of one peer nothing is said more often."""

_TIMEOUT: Final = 2.0
# The client's preface and an empty SETTINGS frame (RFC 9113, 3.4): a server that lets us in answers with its own.
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

_log = logger("credentials")


@dataclass(frozen=True)
class Refusal:
    """Why a handshake does not succeed."""

    ours: bool
    """Whether it is our certificate that the other side refuses, or theirs that we do."""
    fault: Fault


class PeerDiagnosis:
    """Looks into failing connections to one workload, and logs what is wrong with whose certificate.

    Args:
        workload: Who should answer; the name it is called by.
        who: The SPIFFE id its certificate must have; any if None.
        addresses: `host:port` of its processes.
        clock: The time.
    """

    def __init__(self, workload: str, who: str | None, addresses: Sequence[str], *, clock: Clock = utc_now) -> None:
        self._workload = workload
        self._who = who
        self._addresses = addresses
        self._clock = clock
        self._said: dict[str, float] = {}

    async def __call__(self, identity: Identity) -> None:
        """Looks at those of which nothing has been said for a minute."""
        for address in self._addresses:
            if time.monotonic() - self._said.get(address, -EVERY_SECONDS) < EVERY_SECONDS:
                continue
            refusal = await asyncio.to_thread(diagnose, address, self._workload, self._who, identity, self._clock())
            if refusal is None:
                continue
            self._said[address] = time.monotonic()
            _log.error(
                "the neighbour refuses our certificate" if refusal.ours else "a neighbour's certificate is refused",
                peer=self._workload,
                address=address,
                **_fields(refusal.fault),
            )


def diagnose(address: str, workload: str, who: str | None, identity: Identity, now: datetime) -> Refusal | None:
    """`examine` for a connection that may fail for other reasons: None if it is nothing of TLS."""
    try:
        return examine(address, workload, who, identity, now)
    except OSError:
        return None


def examine(address: str, workload: str, who: str | None, identity: Identity, now: datetime) -> Refusal | None:
    """Shakes hands with a server and tells whose certificate is refused, and why.

    Args:
        address: `host:port`.
        workload: Who should answer; the name it is called by.
        who: The SPIFFE id its certificate must have; any if None.
        identity: Ours.
        now: The time.

    Returns:
        None if both sides accept each other.

    Raises:
        OSError: It could not be found out: nobody is there, or what is there speaks no TLS.
    """
    material = identity.material
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT) as connection:
        shown, refused = _shake_hands(connection, workload, identity.directory)
    if shown is not None:
        theirs = find_fault(shown, trusted=material.trusted, who=who, now=now)
        if theirs is not None:
            return Refusal(False, theirs)
    if not refused:
        return None
    own = material.fault(None, now)
    return Refusal(True, own or fault(material.leaf, "is refused: the neighbour does not trust who signed it"))


def _shake_hands(connection: socket.socket, workload: str, directory: Path) -> tuple[x509.Certificate | None, bool]:
    """The certificate the server shows, and whether it refuses ours. Verifies nothing: what is wrong is to be seen.

    Raises:
        OSError: The connection ended otherwise.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    shown = None
    try:
        with context.wrap_socket(connection, server_hostname=workload) as secure:
            raw = secure.getpeercert(binary_form=True)
            shown = x509.load_der_x509_certificate(raw) if raw else None
            secure.sendall(_PREFACE)
            # In TLS 1.3 a server looks at our certificate after that: one that refuses it hangs up without a word.
            return shown, not secure.recv(1)
    except ConnectionError:
        if shown is None:
            raise
        return shown, True
    except ssl.SSLError as error:
        if "ALERT" not in (error.reason or ""):
            raise
        return shown, True


def _fields(found: Fault) -> Mapping[str, str]:
    return {
        "certificate_of": found.who,
        "reason": found.why,
        "valid_until": found.valid_until.isoformat(),
        "issuer": found.issuer,
    }
