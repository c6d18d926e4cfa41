"""The development certificate authority: one identity a workload, SPIFFE ids, and the key that signs access tokens.

SPIFFE X.509-SVID: https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

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

from cli.local.home import write_private
from cli.local.runfile import damaged

TRUST_DOMAIN = "zoco.local"
EDGE_TLS = "edge-tls"
_CA_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Authority:
    """The certificate authority of one home."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_pki(directory: Path, workloads: Iterable[str], *, now: datetime | None = None) -> list[str]:
    """Make what is missing and renew what has passed two thirds of its life.

    Args:
        directory: `.zoco/pki`; afterwards it holds `ca.pem`, `<workload>/{cert,key,ca}.pem`, `edge-tls/` for the edge's
            public listener, and `tokens/<kid>.pem`.
        workloads: names that get an identity.
        now: the time, for tests.

    Returns:
        The names whose certificate was made or renewed.

    Raises:
        CorruptState: a certificate or key on disk cannot be read.
    """
    moment = now or datetime.now(UTC)
    authority, fresh = _authority(directory, moment)
    issued = []
    for name in [*workloads, EDGE_TLS]:
        if fresh or _due(directory / name / "cert.pem", moment):
            _issue(directory / name, name, authority, moment)
            issued.append(name)
    ensure_signing_key(directory / "tokens")
    return issued


def ensure_signing_key(directory: Path) -> Path:
    """Return the newest key that signs access tokens (Ed25519, PKCS #8, named `<kid>.pem`), made if there is none."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = sorted(directory.glob("*.pem"), key=lambda path: path.stat().st_mtime)
    if keys:
        return keys[-1]
    path = directory / f"{secrets.token_hex(8)}.pem"
    write_private(path, _pem(ed25519.Ed25519PrivateKey.generate()))
    return path


def _authority(directory: Path, now: datetime) -> tuple[Authority, bool]:
    """Return the authority and whether it is new."""
    certificate_path, key_path = directory / "ca.pem", directory / "ca-key.pem"
    if certificate_path.exists() and key_path.exists():
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
            key = load_pem_private_key(key_path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise damaged(certificate_path, error) from None
        if isinstance(key, ec.EllipticCurvePrivateKey) and certificate.not_valid_after_utc > now + _LEAF_LIFE:
            return Authority(certificate, key), False
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Zoco development CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(key_path, _pem(key))
    write_private(certificate_path, certificate.public_bytes(Encoding.PEM))
    certificate_path.chmod(0o644)
    return Authority(certificate, key), True


def _due(path: Path, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError as error:
        raise damaged(path, error) from None
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now > start + (end - start) * 2 / 3 or now < start


def _issue(directory: Path, name: str, authority: Authority, now: datetime) -> None:
    directory.mkdir(exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    local: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    names: list[x509.GeneralName]
    if name == EDGE_TLS:  # what a browser sees: no workload's identity, so that nobody can present it inside the mesh
        names = [*local, x509.IPAddress(ip_address("::1"))]
    else:
        spiffe = x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/{name}")
        names = [spiffe, x509.DNSName(name), *local]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LEAF_LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    # The certificate last: a start that was cut short finds none, or one that is due, and makes both anew.
    (directory / "cert.pem").unlink(missing_ok=True)
    write_private(directory / "ca.pem", authority.certificate.public_bytes(Encoding.PEM))
    write_private(directory / "key.pem", _pem(key))
    write_private(directory / "cert.pem", certificate.public_bytes(Encoding.PEM))


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


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
