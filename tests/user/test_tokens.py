"""Signing keys and the tokens they sign, against the mesh's own verifier."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mesh.clock import utc_now
from mesh.errors import Unauthenticated
from mesh.tokens import KeySet, TokenVerifier
from services.user.domain import Role, State, User
from services.user.tokens import KeyRing, SigningKeyError, TokenSigner, new_refresh_token, refresh_token_hash

ISSUER, AUDIENCE = "https://zoco.local", "zoco"
USER = User(
    id="0190a000-0000-7000-8000-000000000001",
    email="alice@example.com",
    display_name="Alice",
    role=Role.CUSTOMER,
    state=State.ACTIVE,
    version=1,
    create_time=datetime(2026, 1, 1, tzinfo=UTC),
    update_time=datetime(2026, 1, 1, tzinfo=UTC),
)


def write_key(directory: Path, kid: str, *, age: float = 0.0, key: Any = None) -> None:
    path = directory / f"{kid}.pem"
    private = key or Ed25519PrivateKey.generate()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    moment = time.time() - age
    os.utime(path, (moment, moment))


def ring(directory: Path, *, lead: float = 0.0) -> KeyRing:
    return KeyRing(directory, lead=timedelta(seconds=lead), clock=utc_now)


def signer(keys: KeyRing) -> TokenSigner:
    return TokenSigner(keys, issuer=ISSUER, audience=AUDIENCE)


def verifier(keys: KeyRing) -> TokenVerifier:
    return TokenVerifier(KeySet(keys.key_set, min_interval=0.0), issuer=ISSUER, audience=AUDIENCE)


async def test_every_service_accepts_what_is_signed_here(tmp_path: Path) -> None:
    write_key(tmp_path, "k1")
    keys = ring(tmp_path)

    subject = await verifier(keys).verify(
        "Bearer " + signer(keys).access_token(replace(USER, role=Role.ADMIN), now=utc_now())
    )

    assert (subject.id, subject.role) == (USER.id, "ADMIN")


async def test_a_token_says_what_the_contract_says_and_nothing_personal(tmp_path: Path) -> None:
    write_key(tmp_path, "k1")
    token = signer(ring(tmp_path)).access_token(USER, now=utc_now())

    claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})

    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"}
    assert claims.keys() == {"iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti"}
    assert claims["exp"] - claims["nbf"] == 900
    assert 0 <= claims["iat"] - claims["nbf"] < 1
    assert "alice" not in str(claims).lower()


def test_two_tokens_are_never_the_same(tmp_path: Path) -> None:
    write_key(tmp_path, "k1")
    sign = signer(ring(tmp_path))

    assert sign.access_token(USER, now=utc_now()) != sign.access_token(USER, now=utc_now())


async def test_the_newest_key_signs_and_older_tokens_stay_valid(tmp_path: Path) -> None:
    write_key(tmp_path, "old", age=1000)
    keys = ring(tmp_path)
    sign, verify = signer(keys), verifier(keys)
    earlier = sign.access_token(USER, now=utc_now())

    write_key(tmp_path, "new")
    keys.reload()
    later = sign.access_token(USER, now=utc_now())

    assert jwt.get_unverified_header(later)["kid"] == "new"
    assert (await verify.verify(f"Bearer {earlier}")).id == USER.id
    assert (await verify.verify(f"Bearer {later}")).id == USER.id


async def test_the_tokens_of_a_retired_key_are_refused(tmp_path: Path) -> None:
    write_key(tmp_path, "old", age=1000)
    write_key(tmp_path, "new")
    old = KeyRing(tmp_path, lead=timedelta(seconds=100), clock=utc_now)
    token = signer(old).access_token(USER, now=utc_now())
    (tmp_path / "old.pem").unlink()
    old.reload()

    with pytest.raises(Unauthenticated, match="TOKEN_INVALID"):
        await verifier(old).verify(f"Bearer {token}")


async def test_a_new_key_is_published_before_it_signs(tmp_path: Path) -> None:
    write_key(tmp_path, "old", age=1000)
    write_key(tmp_path, "new", age=10)

    young = ring(tmp_path, lead=60)
    assert young.current.kid == "old"
    assert {key["kid"] for key in (await young.key_set())["keys"]} == {"old", "new"}
    assert ring(tmp_path, lead=5).current.kid == "new"


def test_a_first_key_signs_at_once(tmp_path: Path) -> None:
    write_key(tmp_path, "only")

    assert ring(tmp_path, lead=3600).current.kid == "only"


async def test_the_key_set_holds_no_private_part(tmp_path: Path) -> None:
    write_key(tmp_path, "k1")

    (key,) = (await ring(tmp_path).key_set())["keys"]

    assert key.keys() == {"kty", "crv", "x", "kid", "alg", "use"}


def test_a_directory_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match="holds no key"):
        ring(tmp_path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_key(tmp_path, "k1", key=ec.generate_private_key(ec.SECP256R1()))

    with pytest.raises(SigningKeyError, match="not Ed25519"):
        ring(tmp_path)


def test_a_damaged_directory_leaves_the_known_keys(tmp_path: Path) -> None:
    write_key(tmp_path, "k1")
    keys = ring(tmp_path)
    (tmp_path / "k2.pem").write_text("nonsense")

    with pytest.raises(SigningKeyError, match=r"k2\.pem"):
        keys.reload()

    assert [key.kid for key in keys.keys] == ["k1"]


def test_a_refresh_token_is_256_bits_and_only_its_hash_is_known() -> None:
    tokens = {new_refresh_token() for _ in range(100)}

    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {43}
    assert {len(refresh_token_hash(token)) for token in tokens} == {32}
