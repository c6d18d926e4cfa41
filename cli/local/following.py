"""Whether the processes that run have followed a rotation: servers are asked by a handshake, clients get their time."""

import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cli.failures import Failure, NotRunning
from cli.local.authority import Phase, Trust
from cli.local.certificates import certificate_pem, new_leaf
from cli.local.home import Home
from cli.local.pki import files_of
from cli.local.portcheck import LOOPBACK
from cli.local.projection import publish
from cli.local.running import ports
from cli.local.shop import PROBE_IDENTITY
from mesh.credentials import Identity
from mesh.diagnosis import Refusal, examine
from mesh.renewed_channel import FOLLOWED_SECONDS

PATIENCE_SECONDS: Final = 30.0
"""How long a server may take to follow."""

_POLL_SECONDS: Final = 0.5


class Followers:
    """The running processes of a home, if any run."""

    def __init__(self, home: Home) -> None:
        """Ask those of `home`."""
        self._home = home

    def settled(self, trust: Trust) -> None:
        """Return when every server has followed and every client has had the time to.

        A server is asked: it must accept a certificate of the authority that will sign next and, once that one signs,
        show one. A client cannot be asked, so the rule is time: it looks at its files every second.

        Raises:
            Failure: a server does not follow.
        """
        try:
            services = ports(self._home).services
        except NotRunning:
            return
        with tempfile.TemporaryDirectory(dir=self._home.pki, prefix=".asking.") as name:
            _wait_for(services, _asking(Path(name), trust))
        time.sleep(FOLLOWED_SECONDS)


def _asking(directory: Path, trust: Trust) -> Identity:
    """Make the identity that asks: its certificate is accepted, and the other's trusted, only by who has followed."""
    signer, trusted = trust.issuer, trust.bundle
    if trust.following is not None:
        signer = trust.following
    elif trust.phase is Phase.PROMOTED:
        trusted = (trust.issuer.certificate,)
    leaf = new_leaf(PROBE_IDENTITY, signer, datetime.now(UTC))
    publish(directory, files_of(leaf, certificate_pem(*trusted)))
    return Identity(directory)


def _wait_for(services: Mapping[str, int], asking: Identity) -> None:
    waiting = dict(services)
    reasons: dict[str, str] = {}
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        for process, port in list(waiting.items()):
            reason = _ask(process, port, asking)
            if reason is None:
                del waiting[process]
            else:
                reasons[process] = reason
        if not waiting:
            return
        if time.monotonic() > end:
            process = next(iter(waiting))
            raise Failure(
                f"{process} does not follow: {reasons[process]}. Nothing is broken by it; run the command again later."
            )
        time.sleep(_POLL_SECONDS)


def _ask(process: str, port: int, asking: Identity) -> str | None:
    """Return why a process has not followed, None if it has or does not run: a start reads the files anyway."""
    workload = process.partition(".")[0]
    try:
        found = examine(f"{LOOPBACK}:{port}", workload, None, asking, datetime.now(UTC))
    except ConnectionRefusedError:
        return None
    except OSError as error:
        return str(error) or type(error).__name__
    match found:
        case None:
            return None
        case Refusal(ours=True):
            return "it refuses a certificate of the new authority"
        case Refusal(fault=fault):
            return str(fault)
