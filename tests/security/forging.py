"""Tokens and certificates as an attacker makes them: any header, any claim, any key, any name."""

import base64
import hmac
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.ids import uuid7
from tests.harness import AUDIENCE, ISSUER

Sign = Callable[[bytes], bytes]


def claims(subject: str, role: str = "ADMIN", **other: Any) -> dict[str, Any]:
    """The claims of a good token; those given replace them, None takes one away."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "role": role,
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        "jti": uuid7(),
    }
    return {name: value for name, value in {**good, **other}.items() if value is not None}


def token(header: dict[str, Any], body: dict[str, Any], sign: Sign) -> str:
    """A JWS in its compact form (RFC 7515, 3.1), whatever is in it."""
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, body))
    return b".".join((signed, _base64url(sign(signed)))).decode()


def by_hmac(secret: bytes) -> Sign:
    """Signs with HS256."""
    return lambda signed: hmac.digest(secret, signed, sha256)


def unsigned(_: bytes) -> bytes:
    """Signs with nothing."""
    return b""


def tampered(good: str, **changed: Any) -> str:
    """A good token with other claims under the old signature."""
    header, body, signature = good.split(".")
    read = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return ".".join((header, _base64url(json.dumps({**read, **changed}).encode()).decode(), signature))


def public_forms(key: Ed25519PrivateKey) -> Sequence[bytes]:
    """What a verifier that mixes algorithms up could take for an HMAC secret."""
    public, form = key.public_key(), serialization.PublicFormat.SubjectPublicKeyInfo
    return (
        public.public_bytes_raw(),
        public.public_bytes(serialization.Encoding.PEM, form),
        public.public_bytes(serialization.Encoding.DER, form),
    )


def certificate(
    directory: Path,
    *,
    uris: Sequence[str] = (),
    names: Sequence[str] = (),
    authority: Path | None = None,
    valid: timedelta = timedelta(days=1),
) -> Path:
    """Makes an identity directory with a certificate for any names.

    Args:
        directory: gets cert.pem, key.pem and ca.pem.
        uris: SPIFFE ids to claim.
        names: DNS names to claim.
        authority: directory with ca.pem and ca-key.pem of who signs; an authority of one's own if None.
        valid: how long from now; negative: until when in the past.
    """
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    if authority is None:
        signer, issuer, trusted = key, _named("Somebody else's CA"), None
    else:
        loaded = serialization.load_pem_private_key((authority / "ca-key.pem").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        trusted = (authority / "ca.pem").read_bytes()
        signer, issuer = loaded, _signed_by(loaded, trusted)
    alternatives = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, names)]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_named("order"))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if alternatives:
        made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    pem = made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (directory / "cert.pem").write_bytes(pem)
    (directory / "ca.pem").write_bytes(trusted or pem)
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory


def _signed_by(key: ec.EllipticCurvePrivateKey, bundle: bytes) -> x509.Name:
    """The name of that authority of a bundle whose key this is."""
    return next(
        each.subject for each in x509.load_pem_x509_certificates(bundle) if each.public_key() == key.public_key()
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
