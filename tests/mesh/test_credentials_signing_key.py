"""The key that signs tokens rotates under load: every token in use is taken, and those of a retired key are not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli.local.signing_keys import ensure_signing_key, retire, rotate_signing, signing_keys
from mesh import service as mesh_service
from mesh.clock import utc_now
from mesh.ids import uuid7
from mesh.runtime import Runtime, Service
from mesh.tokens import KeySet
from services.user.tasks import reload_keys
from services.user.tokens import KeyRing
from tests.harness import Harness, ServiceUnderTest, Tokens
from tests.mesh.probe import Probe, ProbeContract, probe_build, status_of
from tests.mesh.tls import until

LEAD = timedelta(seconds=3)
"""As in production more than twice the time for which a verifier keeps the key set, which is 0.5 s here."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    ensure_signing_key(tmp_path / "tokens")
    return tmp_path / "tokens"


@pytest.fixture
async def keys(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KeyRing]:
    """The user service's keys, following the directory as they do there."""
    monkeypatch.setattr("services.user.tasks.KEY_CHECK_SECONDS", 0.1)
    ring = KeyRing(directory, lead=LEAD, clock=utc_now)
    following = asyncio.create_task(reload_keys(ring))
    yield ring
    following.cancel()


@pytest.fixture
async def verifier(
    harness: Harness, contract: ProbeContract, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ServiceUnderTest]:
    """A service that gets its keys from elsewhere and keeps them for half a second."""
    monkeypatch.setattr(mesh_service, "KeySet", partial(KeySet, refresh_seconds=0.5))
    made: list[Probe] = []

    async def build(runtime: Runtime[Any]) -> Service:
        return replace(await probe_build(contract, made)(runtime), token_keys=keys.key_set)

    async with harness.running("product", build, ZOCO_DESCRIPTORS=contract.descriptors) as running:
        yield running


async def test_no_call_fails_while_the_signing_key_rotates_and_a_retired_key_takes_its_tokens_with_it(
    verifier: ServiceUnderTest, contract: ProbeContract, keys: KeyRing, directory: Path
) -> None:
    person = uuid7()
    stub = contract.stubs.ProbeServiceStub(verifier.channel("edge"))

    def token() -> str:
        return Tokens(keys.current.private, keys.current.kid).mint(person)

    async def call(with_token: str) -> str:
        request = contract.messages.OwnRequest(user=contract.messages.User(id=person))
        code, reason = await status_of(stub.Own(request, metadata=(("authorization", f"Bearer {with_token}"),)))
        return reason or code.name

    old_kid, old_token = keys.current.kid, token()
    answers: list[str] = []
    ended = asyncio.Event()

    async def person_calls(*, anew: bool) -> None:
        while not ended.is_set():
            answers.append(await call(token() if anew else old_token))
            await asyncio.sleep(0.01)

    callers = [asyncio.create_task(person_calls(anew=anew)) for anew in (True, True, False)]
    await until(lambda: len(answers) > 20)
    made, is_new = rotate_signing(directory, LEAD, utc_now())
    assert is_new
    await until(lambda: any(key.kid == made.kid for key in keys.keys))
    assert keys.current.kid == old_kid, "published, but not signing yet"
    await until(lambda: keys.current.kid == made.kid)
    seen = len(answers)
    await until(lambda: len(answers) > seen + 50)
    ended.set()
    await asyncio.gather(*callers)
    assert set(answers) == {"OK"}

    retire(signing_keys(directory, LEAD), old_kid, utc_now(), force=True)

    outcome = ""
    async with asyncio.timeout(20):
        while outcome != "TOKEN_INVALID":
            outcome = await call(old_token)
            assert outcome in {"OK", "TOKEN_INVALID"}
            await asyncio.sleep(0.05)
    assert await call(token()) == "OK"
