"""A user service that runs in the test's process, and a client that speaks to it as a person would."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import insert, select, text

from services.user.__main__ import build
from services.user.settings import UserSettings
from services.user.tables import account
from tests.fixtures.servers import NatsServer, Postgres
from tests.harness import Harness, ServiceUnderTest, Tokens
from zoco.user.v1 import auth_service_pb2 as auth
from zoco.user.v1 import user_pb2
from zoco.user.v1 import user_service_pb2 as service
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceStub
from zoco.user.v1.user_service_pb2_grpc import UserServiceStub

PASSWORD = "four odd wooden chairs"
ADMIN_EMAIL = "boss@zoco.example"
ADMIN_PASSWORD = "a very long walk to work"


@dataclass(frozen=True)
class Person:
    """Somebody outside, with a token or without."""

    auth: Any
    users: Any

    @classmethod
    def at(cls, running: ServiceUnderTest, token: str | None = None) -> "Person":
        channel = running.channel("edge", token)
        return cls(AuthServiceStub(channel), UserServiceStub(channel))

    async def register(self, email: str, password: str = PASSWORD, name: str = "Alice") -> user_pb2.User:
        request = service.RegisterRequest(email=email, password=password, display_name=name)
        user: user_pb2.User = await self.users.Register(request)
        return user

    async def log_in(self, email: str, password: str = PASSWORD) -> auth.LoginResponse:
        response: auth.LoginResponse = await self.auth.Login(auth.LoginRequest(email=email, password=password))
        return response

    async def refresh(self, token: str) -> auth.RefreshResponse:
        response: auth.RefreshResponse = await self.auth.Refresh(auth.RefreshRequest(refresh_token=token))
        return response

    async def update(self, change: user_pb2.User, *paths: str) -> user_pb2.User:
        request = service.UpdateUserRequest(user=change, update_mask=FieldMask(paths=paths))
        user: user_pb2.User = await self.users.UpdateUser(request)
        return user


@dataclass(frozen=True)
class Shop:
    """A running user service."""

    service: ServiceUnderTest
    tokens: Tokens

    @property
    def anyone(self) -> Person:
        """Nobody in particular."""
        return Person.at(self.service)

    def as_user(self, user_id: str) -> Person:
        """A customer with a token of the signing key."""
        return Person.at(self.service, self.tokens.customer(user_id))

    def as_admin(self, user_id: str | None = None) -> Person:
        """An administrator, who need not have an account."""
        return Person.at(self.service, self.tokens.admin(user_id))

    async def administrator(self) -> user_pb2.User:
        """The account that the settings name."""
        session = await self.anyone.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        user: user_pb2.User = session.user
        return user


@pytest.fixture(scope="session")
def signing_keys(tmp_path_factory: pytest.TempPathFactory, tokens: Tokens) -> Path:
    """A directory with the key of the tests' own tokens, so that both kinds are accepted."""
    directory = tmp_path_factory.mktemp("signing-keys")
    pem = tokens.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / f"{tokens.kid}.pem").write_bytes(pem)
    return directory


@pytest.fixture(scope="session")
def user_settings(signing_keys: Path) -> dict[str, Any]:
    return {
        "settings": UserSettings,
        "ZOCO_SIGNING_KEYS_DIR": signing_keys,
        "ZOCO_ADMIN_EMAIL": ADMIN_EMAIL,
        "ZOCO_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    postgres_session: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
    pki: Path,
    tokens: Tokens,
    user_settings: dict[str, Any],
) -> AsyncIterator[ServiceUnderTest]:
    """One service for the tests of a module: starting one takes longer than most of them."""
    nats = NatsServer(tmp_path_factory.mktemp("broker") / "nats")
    nats.start()
    try:
        harness = Harness(postgres_session, nats.url, pki, tokens)
        async with harness.running("user", build, **user_settings) as service_under_test:
            yield service_under_test
    finally:
        nats.stop()
        postgres_session.drop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def first_rows(running: ServiceUnderTest) -> Sequence[dict[str, Any]]:
    """The accounts there are before anybody registers: the administrator of the settings."""
    async with running.database.reading() as connection:
        return [dict(row) for row in (await connection.execute(select(account))).mappings()]


@pytest_asyncio.fixture(loop_scope="module")
async def shop(running: ServiceUnderTest, first_rows: Sequence[dict[str, Any]], tokens: Tokens) -> Shop:
    """The module's service as if it had just been started for the first time."""
    async with running.database.engine.begin() as connection:
        await connection.execute(text("TRUNCATE account, refresh_token, login_failure"))
        await connection.execute(insert(account), first_rows)
    return Shop(running, tokens)
