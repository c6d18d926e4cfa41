"""Signing access tokens, and the key set with which everybody verifies them."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from mesh.clock import Clock
from mesh.ids import uuid7
from mesh.tokens import ACCESS_LIFETIME, ALGORITHM, TOKEN_TYPE
from services.user.domain import User, later_than

REFRESH_LIFETIME: Final = timedelta(days=30)
"""How long a refresh token can be spent."""

_REFRESH_BYTES: Final = 32


class SigningKeyError(Exception):
    """The directory of signing keys cannot be used; the text says why."""


@dataclass(frozen=True)
class SigningKey:
    """A key that signs access tokens."""

    kid: str
    private: Ed25519PrivateKey
    since: float
    """When it was put into the directory, in seconds since 1970."""

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key (RFC 8037)."""
        octets = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(octets).decode().rstrip("=")
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


def read_keys(directory: Path) -> tuple[SigningKey, ...]:
    """The keys in a directory, oldest first.

    Raises:
        SigningKeyError: there is none, or a file holds something else.
    """
    keys = []
    for path in directory.glob("*.pem"):
        try:
            private = load_pem_private_key(path.read_bytes(), password=None)
            since = path.stat().st_mtime
        except (OSError, ValueError, TypeError) as error:
            raise SigningKeyError(f"{path} cannot be read as a private key") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise SigningKeyError(f"{path} holds a key that is not Ed25519")
        keys.append(SigningKey(kid=path.stem, private=private, since=since))
    if not keys:
        raise SigningKeyError(f"{directory} holds no key (*.pem)")
    return tuple(sorted(keys, key=lambda key: (key.since, key.kid)))


class KeyRing:
    """The keys as they are now. The newest one signs, all are published: what the others signed stays valid.

    A key that has just been put into the directory is published at once but does not sign before `lead` is over: a
    verifier that caches the key set would refuse its tokens until it asks again. A first key signs at once.

    Args:
        directory: where the keys are.
        lead: how long a new key is only published.
        clock: the time.

    Raises:
        SigningKeyError: there is no usable key.
    """

    def __init__(self, directory: Path, *, lead: timedelta, clock: Clock) -> None:
        self._directory = directory
        self._lead = lead
        self._clock = clock
        self._keys = read_keys(directory)

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """All keys, oldest first."""
        return self._keys

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        known_since = (self._clock() - self._lead).timestamp()
        known = [key for key in self._keys if key.since <= known_since]
        return known[-1] if known else self._keys[0]

    async def key_set(self) -> Mapping[str, Any]:
        """The public keys as a JSON Web Key Set, for this process's own verifier."""
        return {"keys": [key.public_jwk for key in self._keys]}

    def reload(self) -> None:
        """Looks again which keys there are.

        Raises:
            SigningKeyError: what is there now cannot be used; the keys stay as they were.
        """
        self._keys = read_keys(self._directory)


class TokenSigner:
    """Makes access tokens (RFC 9068).

    Args:
        keys: what signs them.
        issuer: their `iss`.
        audience: their `aud`.
    """

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def access_token(self, user: User, *, now: datetime) -> str:
        """A token that says who the user is and what role they have, for the next 15 minutes.

        Args:
            user: the account as it was at `now`, held so that nobody can have revoked its tokens meanwhile.
            now: when that was. `iat` says it to the microsecond, as a NumericDate may (RFC 7519, 2): a token that was
                given just before a revocation can so be told from one that was given just after it.
        """
        key = self._keys.current
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user.id,
            "role": user.role.value,
            "iat": later_than(user, now).timestamp(),
            "nbf": _seconds(now),
            "exp": _seconds(now + ACCESS_LIFETIME),
            "jti": uuid7(),
        }
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": key.kid})


def new_refresh_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(_REFRESH_BYTES)


def refresh_token_hash(token: str) -> bytes:
    """What of a refresh token is stored. A fast hash does: nobody can guess 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
