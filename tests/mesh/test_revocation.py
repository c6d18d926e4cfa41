"""A person's tokens die everywhere soon after the account was switched off, and the next ones live."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.errors import Unauthenticated, from_rpc_error
from mesh.policy import DESCRIPTORS
from mesh.revocation import REMEMBERED, Revocations
from mesh.tokens import ACCESS_LIFETIME, CLOCK_SKEW, KeySet, TokenVerifier
from services.notification.__main__ import build as build_notification
from services.notification.settings import NotificationSettings
from services.user.__main__ import build as build_user
from services.user.settings import UserSettings
from tests.fixtures.servers import NatsServer, until
from tests.harness import AUDIENCE, ISSUER, Harness, ServiceUnderTest, Tokens, refused
from zoco.mesh.v1 import policy_pb2
from zoco.notification.v1 import notification_service_pb2 as notifications
from zoco.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from zoco.user.v1 import auth_service_pb2 as auth
from zoco.user.v1 import user_pb2
from zoco.user.v1 import user_service_pb2 as users
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceStub
from zoco.user.v1.user_service_pb2_grpc import UserServiceStub

PASSWORD = "a long enough passphrase 1"
NOW = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)


@dataclass(frozen=True)
class Accounts:
    """A running user service."""

    service: ServiceUnderTest
    admin: str

    async def register(self, email: str) -> user_pb2.User:
        request = users.RegisterRequest(email=email, password=PASSWORD, display_name="Alice")
        user: user_pb2.User = await UserServiceStub(self.service.channel()).Register(request)
        return user

    async def log_in(self, email: str, password: str = PASSWORD) -> str:
        stub = AuthServiceStub(self.service.channel())
        answer: auth.LoginResponse = await stub.Login(auth.LoginRequest(email=email, password=password))
        return answer.access_token

    def as_admin(self) -> Any:
        return UserServiceStub(self.service.channel("edge", self.admin))


@pytest.fixture
async def accounts(harness: Harness, tokens: Tokens, tmp_path: Path) -> AsyncIterator[Accounts]:
    keys = tmp_path / "keys"
    keys.mkdir()
    pem = tokens.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (keys / f"{tokens.kid}.pem").write_bytes(pem)
    settings: dict[str, Any] = {
        "settings": UserSettings,
        "ZOCO_SIGNING_KEYS_DIR": keys,
        "ZOCO_ADMIN_EMAIL": "admin@example.com",
        "ZOCO_ADMIN_PASSWORD": PASSWORD,
    }
    async with harness.running("user", build_user, **settings) as service:
        yield Accounts(service, tokens.admin())


@asynccontextmanager
async def elsewhere(harness: Harness, mail: Path, **settings: Any) -> AsyncIterator[ServiceUnderTest]:
    """Another service, which knows of accounts only what the broker tells."""
    async with harness.running(
        "notification", build_notification, settings=NotificationSettings, ZOCO_MAIL_DIR=mail, **settings
    ) as service:
        yield service


async def verdict(service: ServiceUnderTest, token: str) -> str:
    """OK, or the reason why a service refuses a token."""
    stub = NotificationServiceStub(service.channel("edge", token))
    try:
        await stub.ListNotifications(notifications.ListNotificationsRequest())
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason
    return "OK"


async def soon(service: ServiceUnderTest, token: str, expected: str) -> None:
    """The contract says within a minute; it takes milliseconds."""

    async def so() -> bool:
        return await verdict(service, token) == expected

    await until(so)


async def test_a_disabled_users_token_dies_in_every_service_and_stays_dead_after_a_restart(
    harness: Harness, accounts: Accounts, tmp_path: Path
) -> None:
    alice = await accounts.register("alice@example.com")
    await accounts.register("bob@example.com")
    hers, his = await accounts.log_in("alice@example.com"), await accounts.log_in("bob@example.com")
    async with elsewhere(harness, tmp_path) as service:
        assert [await verdict(service, token) for token in (hers, his)] == ["OK", "OK"]
        await accounts.as_admin().DisableUser(users.DisableUserRequest(id=alice.id))
        await soon(service, hers, "TOKEN_INVALID")
        assert await verdict(service, his) == "OK"
    async with elsewhere(harness, tmp_path) as restarted:
        # With its very first call: a start waits until it knows.
        assert [await verdict(restarted, token) for token in (hers, his)] == ["TOKEN_INVALID", "OK"]
        await accounts.as_admin().EnableUser(users.EnableUserRequest(id=alice.id))
        again = await accounts.log_in("alice@example.com")
        assert [await verdict(restarted, token) for token in (again, hers)] == ["OK", "TOKEN_INVALID"]


async def test_a_token_dies_with_the_account_the_role_and_the_password_that_it_was_given_for(
    harness: Harness, accounts: Accounts, tmp_path: Path
) -> None:
    async with elsewhere(harness, tmp_path) as service:
        alice = await accounts.register("alice@example.com")
        token = await accounts.log_in("alice@example.com")
        await accounts.as_admin().SetRole(users.SetRoleRequest(id=alice.id, role=user_pb2.User.ADMIN))
        await soon(service, token, "TOKEN_INVALID")

        # In the same second as the change, most of the time: the new token must not die of the old one's revocation.
        token = await accounts.log_in("alice@example.com")
        assert await verdict(service, token) == "OK"
        change = users.ChangePasswordRequest(id="me", current_password=PASSWORD, new_password=f"{PASSWORD} 2")
        await UserServiceStub(accounts.service.channel("edge", token)).ChangePassword(change)
        await soon(service, token, "TOKEN_INVALID")

        token = await accounts.log_in("alice@example.com", f"{PASSWORD} 2")
        assert await verdict(service, token) == "OK"
        await accounts.as_admin().DeleteUser(users.DeleteUserRequest(id=alice.id))
        await soon(service, token, "TOKEN_INVALID")


async def test_what_was_revoked_while_a_service_could_not_hear_it_is_known_afterwards(
    harness: Harness, accounts: Accounts, own_nats: NatsServer, tmp_path: Path
) -> None:
    alice = await accounts.register("alice@example.com")
    token = await accounts.log_in("alice@example.com")
    async with elsewhere(harness, tmp_path) as service:
        assert await verdict(service, token) == "OK"
        own_nats.stop()
        await accounts.as_admin().DisableUser(users.DisableUserRequest(id=alice.id))
        # Without a broker nobody hears: the token works meanwhile.
        assert await verdict(service, token) == "OK"
        own_nats.start()
        await soon(service, token, "TOKEN_INVALID")


async def test_who_serves_no_people_asks_for_no_revocations(harness: Harness, tmp_path: Path) -> None:
    contracts = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    for service in (service for file in contracts.file for service in file.service):
        if service.options.Extensions[policy_pb2.service].workload == "notification":
            for method in service.method:
                method.options.Extensions[policy_pb2.method].access.edge = policy_pb2.EDGE_AUDIENCE_NONE
    internal = tmp_path / "descriptors.binpb"
    internal.write_bytes(contracts.SerializeToString())

    async with elsewhere(harness, tmp_path):
        assert follows_revocations()
    async with elsewhere(harness, tmp_path, ZOCO_DESCRIPTORS=internal):
        assert not follows_revocations()


def follows_revocations() -> bool:
    """Whether a service of this process asks the broker whose tokens end; one that may not is denied for ever."""
    return any(task.get_name() == "revocations" for task in asyncio.all_tasks())


async def test_an_open_watch_ends_with_its_token(harness: Harness, accounts: Accounts, tmp_path: Path) -> None:
    alice = await accounts.register("alice@example.com")
    token = await accounts.log_in("alice@example.com")
    async with elsewhere(harness, tmp_path) as service:
        stub = NotificationServiceStub(service.channel("edge", token))
        watch = stub.WatchNotifications(notifications.WatchNotificationsRequest())
        await watch.initial_metadata()
        await accounts.as_admin().DisableUser(users.DisableUserRequest(id=alice.id))

        async def to_its_end() -> None:
            async for _ in watch:
                pass

        async with asyncio.timeout(10):
            error = await refused(to_its_end())
        assert (type(error), error.reason) == (Unauthenticated, "TOKEN_INVALID")


def test_a_token_of_just_before_is_refused_and_one_of_just_after_is_not() -> None:
    revocations = Revocations(clock=NOW.timestamp)
    revocations.revoke("alice", NOW)
    tick = timedelta(microseconds=1)
    assert revocations.refuses("alice", (NOW - tick).timestamp())
    assert revocations.refuses("alice", NOW.timestamp())
    assert not revocations.refuses("alice", (NOW + tick).timestamp())
    assert not revocations.refuses("bob", 0)


def test_a_token_that_says_whole_seconds_only_is_refused_for_all_of_the_second() -> None:
    revocations = Revocations(clock=NOW.timestamp)
    revocations.revoke("alice", NOW)
    assert revocations.refuses("alice", int(NOW.timestamp()))
    assert not revocations.refuses("alice", int(NOW.timestamp()) + 1)


def test_an_older_revocation_that_comes_late_takes_nothing_back() -> None:
    revocations = Revocations(clock=NOW.timestamp)
    revocations.revoke("alice", NOW)
    revocations.revoke("alice", NOW - timedelta(minutes=5))
    assert revocations.refuses("alice", NOW.timestamp())


def test_a_revocation_is_remembered_for_as_long_as_a_token_can_live_and_no_longer() -> None:
    now = NOW.timestamp()
    revocations = Revocations(clock=lambda: now)
    for number in range(1000):
        revocations.revoke(f"person-{number}", NOW)
    now += ACCESS_LIFETIME.total_seconds() + CLOCK_SKEW
    revocations.forget()
    assert len(revocations) == 1000
    now = NOW.timestamp() + REMEMBERED.total_seconds() + 1
    revocations.forget()
    assert len(revocations) == 0
    revocations.revoke("told of too late to matter", NOW)
    assert len(revocations) == 0


async def test_a_token_that_lives_longer_than_revocations_are_remembered_is_refused(tokens: Tokens) -> None:
    verifier = TokenVerifier(KeySet(tokens.key_set), issuer=ISSUER, audience=AUDIENCE)
    now = datetime.now(UTC)
    await verifier.verify(f"Bearer {tokens.mint('alice', exp=now + ACCESS_LIFETIME, iat=now)}")
    long_lived = tokens.mint("alice", exp=now + ACCESS_LIFETIME + timedelta(seconds=1), iat=now)
    with pytest.raises(Unauthenticated) as told:
        await verifier.verify(f"Bearer {long_lived}")
    assert told.value.reason == "TOKEN_INVALID"


async def test_what_stands_on_a_token_leaves_nothing_behind_and_hides_no_other_time_out() -> None:
    revocations = Revocations(clock=NOW.timestamp)
    with pytest.raises(TimeoutError):
        async with revocations.standing("alice", NOW.timestamp()):
            raise TimeoutError
    async with revocations.standing("alice", NOW.timestamp()):
        pass
    assert revocations._streams == {}
    revocations.revoke("alice", NOW)
    with pytest.raises(Unauthenticated):
        async with revocations.standing("alice", NOW.timestamp()):
            await asyncio.sleep(10)
    assert revocations._streams == {}
