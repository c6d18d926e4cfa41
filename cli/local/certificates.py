"""X.509 certificates of the development authority: its own and those of workloads, made and read.

SPIFFE X.509-SVID: https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.local.runfile import damaged
from mesh.certificates import spiffe_id
from mesh.sidecar import inner_id

EDGE_TLS: Final = "edge-tls"
"""What the edge shows to browsers: no workload's identity."""

CA_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=30)
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How long before its making a certificate is valid: clocks differ."""

T = TypeVar("T")


@dataclass(frozen=True)
class Authority:
    """A certificate authority that can sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Leaf:
    """A workload's certificate and key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def new_authority(now: datetime) -> Authority:
    """Make an authority, valid for ten years. Each has a name of its own, so that two in a bundle are told apart."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Zoco development CA {serial:x}"[:40])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def new_leaf(
    name: str, authority: Authority, now: datetime, *, life: timedelta = LEAF_LIFE, part: str | None = None
) -> Leaf:
    """Make a workload's certificate (or that of `EDGE_TLS`) with a new key.

    Args:
        name: The workload.
        authority: Who signs.
        now: From when it is valid, but for the skew.
        life: How long it is valid.
        part: `service` or `sidecar`, for what only the other of the two trusts (inner.py).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectAlternativeName(_names(name, part)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Leaf(certificate, key)


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Return whether two thirds of a certificate's life are over, or it has not begun."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now > start + (end - start) * 2 / 3 or now < start


def certificates_in(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file.

    Raises:
        CorruptState: it holds something else.
        FileNotFoundError: there is none.
    """
    return _understood(path, x509.load_pem_x509_certificates)


def key_in(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a PEM file; the errors are those of `certificates_in`."""

    def load(content: bytes) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key(content, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("not an elliptic curve key")
        return key

    return _understood(path, load)


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """Return certificates as one PEM text."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """Return a private key as PEM (PKCS #8)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _understood(path: Path, load: Callable[[bytes], T]) -> T:
    content = path.read_bytes()
    try:
        return load(content)
    except (ValueError, TypeError) as error:
        raise damaged(path, error) from None


def _names(name: str, part: str | None) -> list[x509.GeneralName]:
    local: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    if name == EDGE_TLS:  # what a browser sees: no workload's identity, so that nobody can present it inside the mesh
        return [*local, x509.IPAddress(ip_address("::1"))]
    if part is not None:
        return [x509.UniformResourceIdentifier(inner_id(name, part)), x509.DNSName(part), *local]
    return [x509.UniformResourceIdentifier(spiffe_id(name)), x509.DNSName(name), *local]


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
