"""The user service as a whole: what it publishes, how it starts, what it forgets."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import symbol_database
from google.protobuf.message import Message
from prometheus_client import generate_latest
from pydantic import ValidationError
from sqlalchemy import func, select, text

from mesh.clock import utc_now
from services.user.__main__ import build
from services.user.settings import UserSettings
from services.user.tables import account, login_failure, refresh_token
from services.user.tasks import sweep_once
from tests.fixtures.servers import until
from tests.harness import Harness, ServiceUnderTest, Tokens, refused
from tests.user.conftest import ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD, Shop
from tests.user.test_tokens import write_key
from zoco.user.v1 import auth_service_pb2 as auth
from zoco.user.v1 import user_events_pb2 as events
from zoco.user.v1 import user_pb2
from zoco.user.v1 import user_service_pb2 as service


async def published(running: ServiceUnderTest, user_id: str) -> list[Message]:
    """The events of an account, oldest first, once the broker has them all."""

    async def all_out() -> bool:
        async with running.database.reading() as connection:
            waiting = await connection.execute(text("SELECT count(*) FROM outbox WHERE published_at IS NULL"))
            return bool(waiting.scalar_one() == 0)

    await until(all_out)
    async with running.database.reading() as connection:
        rows = await connection.execute(
            text("SELECT type, version, payload FROM outbox WHERE aggregate_id = :id ORDER BY version"), {"id": user_id}
        )
        found = rows.all()
    assert [row.version for row in found] == list(range(1, len(found) + 1))
    return [symbol_database.Default().GetSymbol(row.type).FromString(row.payload) for row in found]


async def test_every_change_is_an_event_with_the_next_version(
    harness: Harness, tokens: Tokens, user_settings: dict[str, Any]
) -> None:
    async with harness.running("user", build, **user_settings) as running:
        shop = Shop(running, tokens)
        admin = shop.as_admin()
        alice = await shop.anyone.register("alice@example.com", name="Alice")
        await shop.as_user(alice.id).update(user_pb2.User(id="me", display_name="Al"))
        await shop.as_user(alice.id).update(user_pb2.User(id="me", display_name="Al"))
        await admin.users.SetRole(service.SetRoleRequest(id=alice.id, role=user_pb2.User.ADMIN))
        await admin.users.DisableUser(service.DisableUserRequest(id=alice.id))
        await admin.users.EnableUser(service.EnableUserRequest(id=alice.id))
        await admin.users.DeleteUser(service.DeleteUserRequest(id=alice.id))
        told = await published(running, alice.id)

    registered, renamed, promoted, revoked, disabled, enabled, deleted = told
    assert isinstance(registered, events.UserRegistered)
    assert (registered.email, registered.display_name) == ("alice@example.com", "Alice")
    assert registered.register_time == alice.create_time
    assert isinstance(renamed, events.UserUpdated)
    assert renamed.display_name == "Al"
    assert isinstance(promoted, events.UserUpdated)
    assert promoted.role == user_pb2.User.ADMIN
    assert isinstance(revoked, events.UserTokensRevoked)
    assert revoked.revoke_time == promoted.update_time
    assert isinstance(disabled, events.UserDisabled)
    assert isinstance(enabled, events.UserUpdated)
    assert enabled.state == user_pb2.User.ACTIVE
    assert isinstance(deleted, events.UserDeleted)


async def test_two_processes_that_start_at_once_make_one_administrator(
    harness: Harness, tokens: Tokens, user_settings: dict[str, Any]
) -> None:
    url = await harness.postgres.database("user")

    async def start_and_stop() -> None:
        async with harness.running("user", build, database_url=url, **user_settings):
            pass

    await asyncio.gather(*(start_and_stop() for _ in range(3)))
    async with harness.running("user", build, database_url=url, **user_settings) as running:
        boss = await Shop(running, tokens).administrator()
        assert len(await published(running, boss.id)) == 1
        async with running.database.reading() as connection:
            assert (await connection.execute(select(func.count()).select_from(account))).scalar_one() == 1


async def test_a_restart_neither_resets_a_password_nor_gives_back_a_role(
    harness: Harness, tokens: Tokens, user_settings: dict[str, Any]
) -> None:
    url = await harness.postgres.database("user")
    async with harness.running("user", build, database_url=url, **user_settings) as running:
        shop = Shop(running, tokens)
        boss = await shop.administrator()
        other = await shop.anyone.register("other@example.com")
        await shop.as_admin().users.SetRole(service.SetRoleRequest(id=other.id, role=user_pb2.User.ADMIN))
        await shop.as_user(boss.id).users.ChangePassword(
            service.ChangePasswordRequest(id="me", current_password=ADMIN_PASSWORD, new_password=PASSWORD)
        )
        await shop.as_admin().users.SetRole(service.SetRoleRequest(id=boss.id, role=user_pb2.User.CUSTOMER))

    async with harness.running("user", build, database_url=url, **user_settings) as running:
        shop = Shop(running, tokens)
        session = await shop.anyone.log_in(ADMIN_EMAIL, PASSWORD)
        assert session.user.role == user_pb2.User.CUSTOMER
        assert (await refused(shop.anyone.log_in(ADMIN_EMAIL, ADMIN_PASSWORD))).reason == "CREDENTIALS_INVALID"


async def test_sessions_and_failures_outlive_the_process(
    harness: Harness, tokens: Tokens, user_settings: dict[str, Any]
) -> None:
    url = await harness.postgres.database("user")
    async with harness.running("user", build, database_url=url, **user_settings) as running:
        shop = Shop(running, tokens)
        await shop.anyone.register("alice@example.com")
        session = await shop.anyone.log_in("alice@example.com")
        for _ in range(10):
            await refused(shop.anyone.log_in("alice@example.com", "not the password"))

    async with harness.running("user", build, database_url=url, **user_settings) as running:
        shop = Shop(running, tokens)
        assert (await refused(shop.anyone.log_in("alice@example.com"))).reason == "LOGIN_SLOWED"
        assert (await shop.anyone.refresh(session.refresh_token)).access_token


async def test_sign_ups_and_failures_are_counted(
    harness: Harness, tokens: Tokens, user_settings: dict[str, Any]
) -> None:
    async with harness.running("user", build, **user_settings) as running:
        shop = Shop(running, tokens)
        await shop.anyone.register("alice@example.com")
        await refused(shop.anyone.register("alice@example.com"))
        await shop.anyone.log_in("alice@example.com")
        for _ in range(11):
            await refused(shop.anyone.log_in("alice@example.com", "not the password"))
        shown = generate_latest(running.running.runtime.registry).decode()

    assert "sign_ups_total 1.0" in shown
    assert "logins_total 1.0" in shown
    assert 'login_failures_total{reason="CREDENTIALS_INVALID"} 10.0' in shown
    assert 'login_failures_total{reason="LOGIN_SLOWED"} 1.0' in shown


async def test_keys_rotate_without_a_restart(
    harness: Harness, tokens: Tokens, user_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.user.tasks.KEY_CHECK_SECONDS", 0.05)
    write_key(tmp_path, "k2", age=1000)
    settings = {**user_settings, "ZOCO_SIGNING_KEYS_DIR": tmp_path, "ZOCO_SIGNING_KEY_LEAD_SECONDS": 0}
    async with harness.running("user", build, **settings) as running:
        shop = Shop(running, tokens)
        write_key(tmp_path, "k1")

        async def published() -> bool:
            keys = (await shop.anyone.auth.GetJwks(auth.GetJwksRequest())).keys
            return [key.kid for key in keys] == ["k1", "k2"]

        await until(published)


async def test_what_has_expired_is_swept_and_the_rest_stays(
    harness: Harness, tokens: Tokens, user_settings: dict[str, Any]
) -> None:
    async with harness.running("user", build, **user_settings) as running:
        shop = Shop(running, tokens)
        await shop.anyone.register("alice@example.com")
        first = await shop.anyone.log_in("alice@example.com")
        second = await shop.anyone.refresh(first.refresh_token)
        await refused(shop.anyone.log_in("nobody@example.com", "not the password"))
        await sweep_once(running.database, utc_now)
        assert await rows(running) == (2, 1)

        async with running.database.engine.begin() as connection:
            spent = refresh_token.c.used_at.is_not(None)
            long_ago = datetime.now(UTC) - timedelta(days=2)
            await connection.execute(refresh_token.update().where(spent).values(expire_time=long_ago))
            await connection.execute(login_failure.update().values(update_time=long_ago))
        await sweep_once(running.database, utc_now)

        assert await rows(running) == (1, 0)
        assert (await shop.anyone.refresh(second.refresh_token)).access_token


async def rows(running: ServiceUnderTest) -> tuple[int, int]:
    """How many refresh tokens and failed addresses there are."""
    async with running.database.reading() as connection:
        tokens = (await connection.execute(select(func.count()).select_from(refresh_token))).scalar_one()
        failures = (await connection.execute(select(func.count()).select_from(login_failure))).scalar_one()
    return tokens, failures


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ZOCO_SIGNING_KEYS_DIR": "/nowhere"}, "ZOCO_SIGNING_KEYS_DIR"),
        ({"ZOCO_ADMIN_EMAIL": "no address"}, "ZOCO_ADMIN_EMAIL"),
        ({"ZOCO_ADMIN_PASSWORD": "short"}, "ZOCO_ADMIN_PASSWORD"),
        ({"ZOCO_ADMIN_PASSWORD": None}, "ZOCO_ADMIN_PASSWORD"),
        ({"ZOCO_PASSWORD_THREADS": 0}, "ZOCO_PASSWORD_THREADS"),
    ],
)
def test_a_wrong_setting_is_named_and_its_secret_is_not(
    user_settings: dict[str, Any], pki: Path, wrong: dict[str, Any], named: str
) -> None:
    values = {name: value for name, value in user_settings.items() if name != "settings"}

    with pytest.raises(ValidationError) as refusal:
        UserSettings.model_validate({**values, "ZOCO_PKI_DIR": pki / "user", **wrong})

    assert named in str(refusal.value)
    assert ADMIN_PASSWORD not in str(refusal.value)
