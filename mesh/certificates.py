"""What a certificate says, and what is wrong with it: who, why and until when, in words for a log line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mesh.settings import TRUST_DOMAIN

_FINGERPRINT_CHARACTERS: Final = 16


def spiffe_id(workload: str) -> str:
    """The SPIFFE id of a workload (https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md)."""
    return f"spiffe://{TRUST_DOMAIN}/{workload}"


def fingerprint(certificate: x509.Certificate) -> str:
    """The first half of a certificate's SHA-256, by which two of the same name are told apart."""
    return certificate.fingerprint(hashes.SHA256()).hex()[:_FINGERPRINT_CHARACTERS]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a certificate."""

    who: str
    """Its SPIFFE id, or its subject where it has none."""
    why: str
    valid_until: datetime
    issuer: str

    def __str__(self) -> str:
        """One sentence."""
        until = _shown(self.valid_until)
        return f"the certificate of {self.who} {self.why}; it is valid until {until}, from {self.issuer}"


def owner(certificate: x509.Certificate) -> str:
    """Whose certificate it is: its SPIFFE id, or its subject where it has none."""
    uris = _names(certificate).get_values_for_type(x509.UniformResourceIdentifier)
    return ", ".join(uris) or certificate.subject.rfc4514_string() or "nobody"


def find_fault(
    certificate: x509.Certificate, *, trusted: Sequence[x509.Certificate], who: str | None, now: datetime
) -> Fault | None:
    """What is wrong with a workload's certificate, None if nothing is.

    Args:
        certificate: The leaf.
        trusted: The authorities it may come from.
        who: The SPIFFE id it must have; any if None.
        now: The time.
    """
    why = _date_fault(certificate, now) or _origin_fault(certificate, trusted) or _name_fault(certificate, who)
    return fault(certificate, why) if why else None


def fault(certificate: x509.Certificate, why: str) -> Fault:
    """A fault of a certificate that somebody else found."""
    return Fault(owner(certificate), why, certificate.not_valid_after_utc, certificate.issuer.rfc4514_string())


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority's key signed a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):  # TypeError: a key of another kind
        return False
    return True


def fits(certificate: x509.Certificate, key: bytes) -> bool:
    """Whether a private key (PEM) is that of the certificate.

    Raises:
        ValueError: It is no private key.
    """
    return bool(load_pem_private_key(key, password=None).public_key() == certificate.public_key())


def _date_fault(certificate: x509.Certificate, now: datetime) -> str | None:
    if now > certificate.not_valid_after_utc:
        return "has expired"
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {_shown(certificate.not_valid_before_utc)}"
    return None


def _origin_fault(certificate: x509.Certificate, trusted: Sequence[x509.Certificate]) -> str | None:
    return None if any(is_signed_by(certificate, each) for each in trusted) else "comes from a foreign authority"


def _name_fault(certificate: x509.Certificate, who: str | None) -> str | None:
    names = _names(certificate)
    if who is None or names.get_values_for_type(x509.UniformResourceIdentifier) == [who]:
        return None
    return f"is not that of {who}"


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
