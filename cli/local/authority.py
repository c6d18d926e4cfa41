"""Who signs and who is trusted: the authority's state on disk, and the three steps of its rotation.

A rotation has an overlap, so that nobody ever meets a certificate it does not trust:

    STEADY --introduce--> INTRODUCED --promote--> PROMOTED --drop--> STEADY

INTRODUCED: the new authority is trusted beside the old one, which still signs. PROMOTED: the new one signs, and the old
one is still trusted. Each step is one swap of `ca.pem`, `ca-key.pem` and `next-ca-key.pem` (see projection.py), so that
the state is always one of the three.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cli.local.certificates import (
    LEAF_LIFE,
    Authority,
    certificate_pem,
    certificates_in,
    key_in,
    key_pem,
    new_authority,
)
from cli.local.projection import is_projected, publish

_BUNDLE: Final = "ca.pem"
_KEY: Final = "ca-key.pem"
_NEXT_KEY: Final = "next-ca-key.pem"


class Phase(Enum):
    """Where a rotation stands."""

    STEADY = "one authority"
    INTRODUCED = "the next authority is trusted, and does not sign yet"
    PROMOTED = "the new authority signs, and the old one is still trusted"


@dataclass(frozen=True)
class Trust:
    """Who signs and who is trusted."""

    issuer: Authority
    following: Authority | None
    """The authority that will sign next."""
    old: tuple[x509.Certificate, ...]
    """Trusted, but signing no more."""

    @property
    def bundle(self) -> tuple[x509.Certificate, ...]:
        """Everybody who is trusted, the issuer first."""
        following = (self.following.certificate,) if self.following else ()
        return (self.issuer.certificate, *following, *self.old)

    @property
    def phase(self) -> Phase:
        """Where a rotation stands."""
        if self.following is not None:
            return Phase.INTRODUCED
        return Phase.PROMOTED if self.old else Phase.STEADY


def read_trust(directory: Path) -> Trust | None:
    """Return the state under `.zoco/pki`, or None if there is no authority, or none whose key is there.

    Raises:
        CorruptState: a file cannot be understood.
    """
    try:
        bundle = certificates_in(directory / _BUNDLE)
        key = key_in(directory / _KEY)
    except FileNotFoundError:
        return None
    issuer = _find(key, bundle)
    if issuer is None:
        return None
    following = None
    if (directory / _NEXT_KEY).exists():
        next_key = key_in(directory / _NEXT_KEY)
        next_certificate = _find(next_key, bundle)
        if next_certificate is not None:
            following = Authority(next_certificate, next_key)
    named = {issuer, following.certificate if following else issuer}
    return Trust(Authority(issuer, key), following, tuple(each for each in bundle if each not in named))


def establish(directory: Path, now: datetime) -> Trust:
    """Return the state, made anew where there is none or its authority ends before what it would sign.

    Raises:
        CorruptState: a file cannot be understood.
    """
    found = read_trust(directory)
    if found is None or found.issuer.certificate.not_valid_after_utc <= now + LEAF_LIFE:
        found = Trust(new_authority(now), None, ())
        _store(directory, found)
    elif not is_projected(directory):
        _store(directory, found)
    return found


def introduce(directory: Path, trust: Trust, now: datetime) -> Trust:
    """Make the next authority, which is trusted from now on."""
    return _store(directory, Trust(trust.issuer, new_authority(now), trust.old))


def promote(directory: Path, trust: Trust) -> Trust:
    """Let the next authority sign.

    Raises:
        ValueError: there is none.
    """
    if trust.following is None:
        raise ValueError("there is no next authority")
    return _store(directory, Trust(trust.following, None, (trust.issuer.certificate, *trust.old)))


def drop(directory: Path, trust: Trust) -> Trust:
    """Trust nobody any more but who signs."""
    return _store(directory, Trust(trust.issuer, None, ()))


def _store(directory: Path, trust: Trust) -> Trust:
    files = {_BUNDLE: certificate_pem(*trust.bundle), _KEY: key_pem(trust.issuer.key)}
    if trust.following is not None:
        files[_NEXT_KEY] = key_pem(trust.following.key)
    publish(directory, files)
    return trust


def _find(key: ec.EllipticCurvePrivateKey, among: Iterable[x509.Certificate]) -> x509.Certificate | None:
    return next((each for each in among if each.public_key() == key.public_key()), None)
