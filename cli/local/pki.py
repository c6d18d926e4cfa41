"""The identities of one home under `.zoco/pki`: an authority, a certificate a workload, the keys that sign tokens.

ca.pem, ca-key.pem            who signs; while an authority rotates, ca.pem holds both (authority.py)
<workload>/{cert,key,ca}.pem  a workload's identity, and whom it trusts (projection.py says how it changes)
edge-tls/                     what the edge shows to browsers
tokens/<kid>.pem              what signs access tokens (signing_keys.py)
"""

import fcntl
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cli.local.authority import Trust, establish
from cli.local.certificates import (
    EDGE_TLS,
    Leaf,
    certificate_pem,
    certificates_in,
    is_due,
    key_in,
    key_pem,
    new_leaf,
)
from cli.local.projection import is_projected, publish
from cli.local.signing_keys import ensure_signing_key
from mesh.certificates import is_signed_by, owner, spiffe_id

__all__ = ["EDGE_TLS", "TOKENS", "converge", "ensure_pki", "ensure_signing_key", "exclusive", "identities", "read_leaf"]

TOKENS: Final = "tokens"
_LOCK: Final = "lock"
_BUNDLE: Final = "ca.pem"


def ensure_pki(directory: Path, workloads: Iterable[str], *, now: datetime | None = None) -> list[str]:
    """Make what is missing and renew what has passed two thirds of its life.

    Args:
        directory: `.zoco/pki`.
        workloads: names that get an identity.
        now: the time, for tests.

    Returns:
        The names whose certificate was made or renewed.

    Raises:
        CorruptState: a certificate or key on disk cannot be read.
    """
    moment = now or datetime.now(UTC)
    with exclusive(directory):
        trust = establish(directory, moment)
        issued = converge(directory, [*workloads, EDGE_TLS], trust, moment)
        ensure_signing_key(directory / TOKENS)
    return issued


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Keep everybody else from changing what is under `.zoco/pki` meanwhile; waits for who does."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def converge(
    directory: Path, workloads: Iterable[str], trust: Trust, now: datetime, *, renew: Collection[str] = ()
) -> list[str]:
    """Give every workload what the authority's state asks for: a certificate of the issuer, and trust in the bundle.

    Whatever is as it should be stays untouched, so that after a crash the same call goes on where it was.

    Args:
        directory: `.zoco/pki`.
        workloads: whose directories to look at.
        trust: who signs and who is trusted.
        now: the time.
        renew: those who get a new certificate although theirs would do.

    Returns:
        The names whose certificate was made or renewed.

    Raises:
        CorruptState: a certificate or key on disk cannot be read.
    """
    issued = []
    bundle = certificate_pem(*trust.bundle)
    for name in workloads:
        place = directory / name
        leaf = read_leaf(place)
        if (
            leaf is None
            or name in renew
            or is_due(leaf.certificate, now)
            or not is_signed_by(leaf.certificate, trust.issuer.certificate)
        ):
            leaf = new_leaf(name, trust.issuer, now)
            issued.append(name)
        elif is_projected(place) and (place / _BUNDLE).exists() and (place / _BUNDLE).read_bytes() == bundle:
            continue
        publish(place, files_of(leaf, bundle))
    return issued


def files_of(leaf: Leaf, bundle: bytes) -> dict[str, bytes]:
    """Return the files of an identity's directory."""
    return {"cert.pem": certificate_pem(leaf.certificate), "key.pem": key_pem(leaf.key), _BUNDLE: bundle}


def read_leaf(place: Path) -> Leaf | None:
    """Return the certificate and key of an identity's directory, or None if one is missing or they do not fit.

    Raises:
        CorruptState: a file cannot be understood.
    """
    try:
        certificate = certificates_in(place / "cert.pem")[0]
        key = key_in(place / "key.pem")
    except FileNotFoundError:
        return None
    return Leaf(certificate, key) if certificate.public_key() == key.public_key() else None


def identities(directory: Path) -> list[str]:
    """Return the names that have an identity of this authority's kind, `EDGE_TLS` included.

    Raises:
        CorruptState: a certificate cannot be understood.
    """
    found = []
    for path in sorted(directory.glob("*/cert.pem")):
        name = path.parent.name
        if name == EDGE_TLS or owner(certificates_in(path)[0]) == spiffe_id(name):
            found.append(name)
    return found


def lags_behind(directory: Path, workloads: Iterable[str], trust: Trust) -> bool:
    """Return whether somebody trusts others than the authority's state says: an earlier change was cut short."""
    bundle = certificate_pem(*trust.bundle)
    return any((directory / name / _BUNDLE).read_bytes() != bundle for name in workloads)
