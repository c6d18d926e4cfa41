"""Log-in, refresh, log-out and the key set, over the real wire."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Any

import grpc
import jwt
import pytest
from sqlalchemy import func, select, text

from mesh.errors import PermissionDenied, ResourceExhausted, Unauthenticated, from_rpc_error
from services.user.tables import account, refresh_token
from tests.fixtures.servers import until
from tests.harness import refused
from tests.user.conftest import PASSWORD, Person, Shop
from zoco.user.v1 import auth_service_pb2 as auth
from zoco.user.v1 import user_pb2
from zoco.user.v1 import user_service_pb2 as service
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def tokens_of(shop: Shop) -> list[bytes]:
    async with shop.service.database.reading() as connection:
        return list((await connection.execute(select(refresh_token.c.hash))).scalars())


def reasons_of(outcomes: Sequence[Any]) -> list[str]:
    """Why calls were refused, of those that were."""
    return [from_rpc_error(outcome).reason for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]


async def until_waiting(shop: Shop, transactions: int) -> None:
    """Waits until so many transactions wait for a lock."""

    async def waiting() -> bool:
        async with shop.service.database.reading() as connection:
            found = await connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            count: int = found.scalar_one()
            return count >= transactions

    await until(waiting)


async def test_who_registered_logs_in_and_is_known(shop: Shop) -> None:
    user = await shop.anyone.register("alice@example.com", name="Alice")

    session = await shop.anyone.log_in("ALICE@example.com")

    assert session.user == user
    assert session.expires_in == 900
    me = await Person.at(shop.service, session.access_token).users.GetUser(service.GetUserRequest(id="me"))
    assert me == user


async def test_the_key_set_verifies_what_log_in_gives(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")

    (key,) = (await shop.anyone.auth.GetJwks(auth.GetJwksRequest())).keys

    public = jwt.PyJWK({"kty": key.kty, "crv": key.crv, "x": key.x, "alg": key.alg})
    claims = jwt.decode(
        session.access_token, public, algorithms=["EdDSA"], audience="zoco", issuer="https://zoco.local"
    )
    assert claims["sub"] == session.user.id
    assert jwt.get_unverified_header(session.access_token)["kid"] == key.kid


async def test_any_service_may_ask_for_the_keys(shop: Shop) -> None:
    channel = shop.service.channel("order")

    assert (await AuthServiceStub(channel).GetJwks(auth.GetJwksRequest())).keys


async def test_an_unknown_address_and_a_wrong_password_get_the_same_answer(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")

    wrong = await refused(shop.anyone.log_in("alice@example.com", "not the password"))
    unknown = await refused(shop.anyone.log_in("nobody@example.com", "not the password"))
    nonsense = await refused(shop.anyone.log_in("no\0body", "\0"))

    assert isinstance(wrong, Unauthenticated)
    assert wrong.reason == "CREDENTIALS_INVALID"
    assert (wrong.code, wrong.reason, wrong.message) == (unknown.code, unknown.reason, unknown.message)
    assert (wrong.code, wrong.reason, wrong.message) == (nonsense.code, nonsense.reason, nonsense.message)


async def test_an_unknown_address_takes_as_long_as_a_wrong_password(shop: Shop) -> None:
    for number in range(8):
        await shop.anyone.register(f"person{number}@example.com")

    async def seconds(email: str) -> float:
        started = time.perf_counter()
        await refused(shop.anyone.log_in(email, "not the password"))
        return time.perf_counter() - started

    known, unknown = [], []
    for number in range(8):
        known.append(await seconds(f"person{number}@example.com"))
        unknown.append(await seconds(f"ghost{number}@example.com"))

    # An answer without a hash comes ten times as fast; noise on a busy machine is far less than that.
    assert 0.5 < statistics.median(known) / statistics.median(unknown) < 2


async def test_ten_failures_slow_an_account_down_even_for_the_right_password(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    for _ in range(10):
        assert (
            await refused(shop.anyone.log_in("alice@example.com", "not the password"))
        ).reason == "CREDENTIALS_INVALID"

    slowed = await refused(shop.anyone.log_in("Alice@Example.com", PASSWORD))

    assert isinstance(slowed, ResourceExhausted)
    assert slowed.reason == "LOGIN_SLOWED"
    assert slowed.retry_after is not None
    assert 0 < slowed.retry_after.total_seconds() <= 5


async def test_an_unknown_address_is_slowed_down_just_the_same(shop: Shop) -> None:
    for _ in range(10):
        await refused(shop.anyone.log_in("nobody@example.com", "not the password"))

    assert (await refused(shop.anyone.log_in("nobody@example.com", PASSWORD))).reason == "LOGIN_SLOWED"


async def test_a_hundred_guesses_at_once_are_ten_guesses(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")

    answers = await asyncio.gather(
        *(refused(shop.anyone.log_in("alice@example.com", f"not the password {number}")) for number in range(40))
    )

    assert sorted({answer.reason for answer in answers}) == ["CREDENTIALS_INVALID", "LOGIN_SLOWED"]
    assert sum(answer.reason == "CREDENTIALS_INVALID" for answer in answers) == 10


async def test_a_success_forgets_the_failures(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    for _ in range(2):
        for _ in range(9):
            await refused(shop.anyone.log_in("alice@example.com", "not the password"))
        await shop.anyone.log_in("alice@example.com")


async def test_many_log_ins_at_once_are_no_attack(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")

    sessions = await asyncio.gather(*(shop.anyone.log_in("alice@example.com") for _ in range(20)))

    assert len({session.refresh_token for session in sessions}) == 20


async def test_a_disabled_account_is_told_so_only_with_the_right_password(shop: Shop) -> None:
    user = await shop.anyone.register("alice@example.com")
    await shop.as_admin().users.DisableUser(service.DisableUserRequest(id=user.id))

    right = await refused(shop.anyone.log_in("alice@example.com"))
    wrong = await refused(shop.anyone.log_in("alice@example.com", "not the password"))

    assert isinstance(right, PermissionDenied)
    assert right.reason == "ACCOUNT_DISABLED"
    assert wrong.reason == "CREDENTIALS_INVALID"


async def test_a_refresh_gives_a_new_pair_with_the_present_role(shop: Shop) -> None:
    user = await shop.anyone.register("alice@example.com")
    first = await shop.anyone.log_in("alice@example.com")
    await shop.as_admin().users.SetRole(service.SetRoleRequest(id=user.id, role=user_pb2.User.ADMIN))

    second = await shop.anyone.refresh(first.refresh_token)

    assert second.refresh_token != first.refresh_token
    assert second.user.role == user_pb2.User.ADMIN
    assert jwt.decode(second.access_token, options={"verify_signature": False})["role"] == "ADMIN"
    assert (await shop.anyone.refresh(second.refresh_token)).user.id == user.id


async def test_a_spent_token_shown_again_ends_its_family(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    stolen = await shop.anyone.log_in("alice@example.com")
    other = await shop.anyone.log_in("alice@example.com")
    newest = await shop.anyone.refresh((await shop.anyone.refresh(stolen.refresh_token)).refresh_token)

    reuse = await refused(shop.anyone.refresh(stolen.refresh_token))

    assert isinstance(reuse, Unauthenticated)
    assert reuse.reason == "REFRESH_TOKEN_INVALID"
    assert (await refused(shop.anyone.refresh(newest.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    assert (await shop.anyone.refresh(other.refresh_token)).access_token


async def test_of_two_refreshes_at_once_one_wins_and_keeps_its_session(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")
    token_hash = (await tokens_of(shop))[0]

    # Both calls have read the token unspent and wait for its account when the lock is let go.
    async with shop.service.database.engine.connect() as holder:
        await holder.execute(select(account).with_for_update())
        calls = [asyncio.create_task(shop.anyone.refresh(session.refresh_token)) for _ in range(2)]
        await until_waiting(shop, 2)
        await holder.rollback()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, auth.RefreshResponse)]
    assert reasons_of(outcomes) == ["REFRESH_TOKEN_INVALID"]
    assert (await shop.anyone.refresh(winner.refresh_token)).access_token
    assert token_hash in await tokens_of(shop)


async def test_twenty_refreshes_of_one_token_never_give_two_sessions(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")

    outcomes = await asyncio.gather(
        *(shop.anyone.refresh(session.refresh_token) for _ in range(20)), return_exceptions=True
    )

    assert sum(isinstance(outcome, auth.RefreshResponse) for outcome in outcomes) == 1
    assert reasons_of(outcomes) == ["REFRESH_TOKEN_INVALID"] * 19


async def test_log_out_ends_the_family_and_may_be_repeated(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")
    newest = await shop.anyone.refresh(session.refresh_token)

    for _ in range(2):
        await shop.anyone.auth.Logout(auth.LogoutRequest(refresh_token=newest.refresh_token))

    assert (await refused(shop.anyone.refresh(newest.refresh_token))).reason == "REFRESH_TOKEN_INVALID"


async def test_an_unknown_refresh_token_is_refused_and_logs_out_nobody(shop: Shop) -> None:
    assert (await refused(shop.anyone.refresh("no such token"))).reason == "REFRESH_TOKEN_INVALID"
    await shop.anyone.auth.Logout(auth.LogoutRequest(refresh_token="no such token"))


async def test_an_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")

    assert (await refused(shop.anyone.refresh(session.access_token[:512]))).reason == "REFRESH_TOKEN_INVALID"
    thief = Person.at(shop.service, session.refresh_token)
    assert (await refused(thief.users.GetUser(service.GetUserRequest(id="me")))).reason == "TOKEN_INVALID"


async def test_an_expired_refresh_token_is_refused(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")
    async with shop.service.database.engine.begin() as connection:
        await connection.execute(refresh_token.update().values(expire_time=func.now()))

    assert (await refused(shop.anyone.refresh(session.refresh_token))).reason == "REFRESH_TOKEN_INVALID"


async def test_no_refresh_token_stands_in_the_database(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")

    assert all(session.refresh_token.encode() not in stored for stored in await tokens_of(shop))
