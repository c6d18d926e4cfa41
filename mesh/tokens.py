"""Access tokens: signed JWTs (RFC 9068 profile), verified again in every service."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import jwt
from jwt.types import Options

from mesh.call import Subject
from mesh.errors import MeshError, Unauthenticated
from mesh.revocation import Revocations

ALGORITHM: Final = "EdDSA"
"""The one algorithm tokens are signed with. Fixed here, never taken from a token (RFC 8725, 3.1)."""

TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - a media type, not a secret
"""The `typ` header of an access token (RFC 9068, 2.1)."""

REQUIRED_CLAIMS: Final = ("iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti")

ROLES: Final = frozenset({"CUSTOMER", "ADMIN"})

ACCESS_LIFETIME: Final = timedelta(minutes=15)
"""The longest time between `iat` and `exp`: revocations are remembered for little longer than that."""

CLOCK_SKEW: Final = 5.0
"""Seconds by which the clocks of signer and verifier may differ."""

FetchKeys = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives the JSON Web Key Set (RFC 7517) as it is now."""

_OPTIONS: Final[Options] = {"require": list(REQUIRED_CLAIMS), "verify_signature": True}
_MAX_LENGTH: Final = 4096
_MAX_CACHED: Final = 10_000


class KeySet:
    """The public keys that tokens are verified with, fetched when first needed and when an unknown one is named.

    Args:
        fetch: Gives the key set.
        refresh_seconds: Age after which the set is fetched again, so that retired keys go.
        min_interval: Seconds between two fetches, so that made-up key ids cannot flood the user service.
    """

    def __init__(self, fetch: FetchKeys, *, refresh_seconds: float = 60.0, min_interval: float = 1.0) -> None:
        self._fetch = fetch
        self._refresh_seconds = refresh_seconds
        self._min_interval = min_interval
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = -float("inf")
        self._lock = asyncio.Lock()

    def holds(self, kid: str) -> bool:
        """Whether the key of that id is known, from no longer ago than keys may be."""
        return kid in self._keys and time.monotonic() - self._fetched_at <= self._refresh_seconds

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of that id, or None if there is none.

        Raises:
            MeshError: The keys cannot be fetched and this one is not known from before.
        """
        age = time.monotonic() - self._fetched_at
        if age > self._refresh_seconds or (kid not in self._keys and age > self._min_interval):
            try:
                await self._refresh(age)
            except MeshError:
                # A key known from before goes on counting: log-in may be down without taking the shop with it.
                if kid not in self._keys:
                    raise
                self._fetched_at = time.monotonic() - self._refresh_seconds + self._min_interval
        return self._keys.get(kid)

    async def _refresh(self, age_seen: float) -> None:
        async with self._lock:
            if time.monotonic() - self._fetched_at < age_seen:
                return  # somebody else fetched while this call waited
            key_set = await self._fetch()
            self._keys = {
                key["kid"]: jwt.PyJWK(key, algorithm=ALGORITHM)
                for key in key_set.get("keys", ())
                if key.get("alg") == ALGORITHM and key.get("kid")
            }
            self._fetched_at = time.monotonic()


class TokenVerifier:
    """Turns an `authorization` header into a Subject, or refuses it.

    A header that was verified is remembered until its token expires: the same person calls again and again with it.

    Args:
        keys: What tokens are verified with.
        issuer: Their `iss`.
        audience: Their `aud`.
        revocations: Whose tokens are refused although they have not expired.
    """

    def __init__(self, keys: KeySet, *, issuer: str, audience: str, revocations: Revocations | None = None) -> None:
        self.revocations = Revocations() if revocations is None else revocations
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._verified: OrderedDict[str, tuple[Subject, float, str]] = OrderedDict()

    def recall(self, authorization: str) -> Subject | None:
        """The person of a header that was verified before and holds as it did; None for any other, good or bad."""
        remembered = self._verified.get(authorization)
        if remembered is None:
            return None
        subject, expires, kid = remembered
        if (
            time.time() > expires + CLOCK_SKEW
            or self.revocations.refuses(subject.id, subject.issued_at)
            or not self._keys.holds(kid)  # a retired key takes its tokens with it
        ):
            return None
        self._verified.move_to_end(authorization)
        return subject

    async def verify(self, authorization: str) -> Subject:
        """The person whom a header of the form `Bearer <token>` stands for.

        Raises:
            Unauthenticated: TOKEN_EXPIRED, or TOKEN_INVALID for whatever else is wrong; the text helps no attacker.
            Unavailable: The keys cannot be had at the moment.
        """
        subject = self.recall(authorization)
        if subject is not None:
            return subject
        self._verified.pop(authorization, None)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_LENGTH or not token.isascii():
            raise _invalid()
        subject, expires, kid = await self._check(token)
        if self.revocations.refuses(subject.id, subject.issued_at):
            raise _invalid()
        self._verified[authorization] = (subject, expires, kid)
        if len(self._verified) > _MAX_CACHED:
            self._verified.popitem(last=False)
        return subject

    async def _check(self, token: str) -> tuple[Subject, float, str]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as garbage:
            raise _invalid() from garbage
        kid = header.get("kid")
        if (
            header.get("alg") != ALGORITHM
            or str(header.get("typ", "")).lower() != TOKEN_TYPE
            or not isinstance(kid, str)
            or not header.keys() <= {"alg", "typ", "kid"}  # jku, jwk, x5u, crit and the like have no business here
        ):
            raise _invalid()
        key = await self._keys.find(kid)
        if key is None:
            raise _invalid()
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=CLOCK_SKEW,
                options=_OPTIONS,
            )
        except jwt.ExpiredSignatureError as expired:
            raise _expired() from expired
        except (jwt.PyJWTError, ValueError) as wrong:
            raise _invalid() from wrong
        if not isinstance(claims["sub"], str) or not claims["sub"] or claims["role"] not in ROLES:
            raise _invalid()
        issued_at, expires = float(claims["iat"]), float(claims["exp"])
        if expires - issued_at > ACCESS_LIFETIME.total_seconds():
            raise _invalid()  # it would outlive what is remembered of revocations
        return Subject(claims["sub"], claims["role"], token, issued_at), expires, kid


def _invalid() -> Unauthenticated:
    return Unauthenticated("TOKEN_INVALID", "the access token is not valid")


def _expired() -> Unauthenticated:
    return Unauthenticated("TOKEN_EXPIRED", "the access token has expired; refresh it")
