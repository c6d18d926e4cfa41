"""Where the edge has the keys of tokens from: asked for in the background, kept while nobody answers, replaced."""

import asyncio
import stat
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import code_pb2

from cli.local.probes import EdgeHealth
from gateway.authentication import JWT, KEYS_DELAY
from mesh.errors import from_rpc_error
from mesh.tokens import CLOCK_SKEW
from tests.gateway.edges import Edge, managers, start_edge, until
from tests.gateway.neighbours import Neighbour, answering, failing, response_of
from tests.gateway.test_errors import reasons
from tests.harness import Tokens
from zoco.order.v1.order_service_pb2 import GetOrderRequest
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYS = "/zoco.user.v1.AuthService/GetJwks"
ASKED_IN_VAIN = "extension_config_discovery.*update_failure"
TAKEN = "extension_config_discovery.*config_reload"
REMEMBERED = "edge.jwt_authn.jwt_cache_hit"


@dataclass
class LateNeighbour(Neighbour):
    """A process that has its port from the start, and listens from the second start on."""

    starts: int = field(default=0, init=False)

    async def start(self) -> None:
        self.starts += 1
        await super().start()
        if self.starts == 1:
            await self.kill()


@dataclass
class Edges:
    """An edge whose user service is not there yet."""

    edge: Edge
    user: LateNeighbour

    async def read(self, shown: dict[str, str]) -> int:
        """Try a call that needs a token; its HTTP status."""
        return (await self.edge.rest("GET", "/v1/orders/o1", headers=shown)).status_code


def _shown(tokens: Tokens) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.customer()}"}


def _fetch_often(config: dict[str, Any], *, again: str = "0.2s") -> None:
    for manager in managers(config):
        (found,) = (each["config_discovery"] for each in manager["http_filters"] if each["name"] == JWT)
        found["config_source"]["api_config_source"]["refresh_delay"] = "0.2s"
        (provider,) = found["default_config"]["providers"].values()
        provider["remote_jwks"]["async_fetch"]["failed_refetch_duration"] = again


_fetch_once = partial(_fetch_often, again="3600s")


async def _counted(edge: Edge, pattern: str) -> int:
    return sum((await edge.stats(pattern)).values())


@pytest_asyncio.fixture(loop_scope="session")
async def late(pki: Path, tmp_path: Path) -> AsyncIterator[Edges]:
    async with AsyncExitStack() as stack:
        user = LateNeighbour("user", pki / "user")
        edge = await start_edge(stack, pki, tmp_path, instead={"user": user}, alter=_fetch_often)
        yield Edges(edge, user)


async def test_the_edge_works_without_keys_as_far_as_it_can_and_finds_them_when_they_come(late: Edges) -> None:
    edge, tokens = late.edge, late.edge.tokens
    answer = await edge.rest("GET", "/v1/orders/o1", headers=_shown(tokens))
    assert answer.status_code == 503, "whether the token holds is not known"
    assert reasons(answer) == ["DEPENDENCY_UNAVAILABLE"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await OrderServiceStub(edge.bare).GetOrder(GetOrderRequest(id="o1"), metadata=tuple(_shown(tokens).items()))
    error = from_rpc_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert (await edge.rest("GET", "/v1/products/p1", headers=_shown(tokens))).status_code == 200
    assert (await edge.rest("GET", "/v1/orders/o1")).status_code == 401, "that there is none, one sees without keys"
    assert not edge.neighbours["order"].calls

    await late.user.start()

    old = _shown(tokens)

    async def verifies() -> bool:
        return await late.read(old) == 200

    await until(verifies, "the keys are there", seconds=10)
    await edge.remembers_tokens()
    await _is_remembered(late, old)
    # Retired and replaced: the new one counts within the life of the cache, and the old one no longer, not even for a
    # token that was verified before.
    late.user.keys = Tokens(kid='the "new" \\ one\t\N{KEY}')
    new = _shown(late.user.keys)

    async def rotated() -> bool:
        return (await late.read(new), await late.read(old)) == (200, 401)

    await until(rotated, "the keys are those that are published", seconds=10)
    # Nobody answers any more, however often the edge asks.
    await late.user.kill()
    before = await _counted(edge, ASKED_IN_VAIN)

    async def asked_in_vain() -> bool:
        return await _counted(edge, ASKED_IN_VAIN) >= before + 5

    await until(asked_in_vain, "the edge asks in vain", seconds=10)
    assert await late.read(new) == 200


async def test_a_token_is_verified_once_and_refused_when_it_expires(late: Edges) -> None:
    await late.user.start()
    await late.edge.remembers_tokens()
    expires = int(time.time()) + 2
    shown = {"authorization": f"Bearer {late.edge.tokens.mint('anna', exp=expires)}"}
    await _is_remembered(late, shown)
    taken = [time.time()]

    async def refused() -> bool:
        begun = time.time()
        if await late.read(shown) == 401:
            return True
        taken.append(begun)
        return False

    await until(refused, "the token has expired", seconds=20)
    assert taken[-1] <= expires + CLOCK_SKEW + 1, "Envoy counts whole seconds"


async def test_keys_that_stay_are_not_taken_anew_and_an_answer_without_keys_takes_none_away(late: Edges) -> None:
    await late.user.start()
    edge = late.edge
    await edge.remembers_tokens()
    shown = _shown(edge.tokens)
    assert await late.read(shown) == 200
    await _asks_again(late)
    assert await _counted(edge, TAKEN) == 1
    late.user.answers[KEYS] = answering(response_of(KEYS))
    await _asks_again(late)
    assert [await late.read(shown), await late.read(_shown(edge.tokens))] == [200, 200]
    del late.user.answers[KEYS]
    await _asks_again(late)
    assert [await late.read(shown), await late.read(_shown(edge.tokens))] == [200, 200]
    assert await _counted(edge, "token_keys.lua.errors") == 0


async def test_an_edge_whose_keys_were_discovered_before_they_were_fetched_is_ready(pki: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        user = LateNeighbour("user", pki / "user")
        edge = await start_edge(stack, pki, tmp_path, instead={"user": user}, alter=_fetch_once)
        health = EdgeHealth(int(edge.admin.rpartition(":")[2]), (), keys=True)
        assert await health() == "has no keys of tokens yet"
        await user.start()
        await edge.remembers_tokens()
        assert not sum((await edge.stats("jwks_fetch_success$")).values())
        assert await health() is None


async def _is_remembered(late: Edges, shown: dict[str, str]) -> None:
    assert await late.read(shown) == 200
    before = await _counted(late.edge, REMEMBERED)
    assert await late.read(shown) == 200
    assert await _counted(late.edge, REMEMBERED) == before + 1


async def _asks_again(late: Edges) -> None:
    before = late.user.key_fetches

    async def asked() -> bool:
        return late.user.key_fetches >= before + 3

    await until(asked, "the edge asks for keys again")


async def test_a_crowd_without_keys_does_not_run_the_user_service_down(late: Edges) -> None:
    late.user.answers[KEYS] = failing(code_pb2.INTERNAL, "not now")
    await late.user.start()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    statuses = await asyncio.gather(*(late.read(_shown(late.edge.tokens)) for _ in range(300)))
    assert set(statuses) == {503}
    assert late.user.key_fetches <= 20 * (loop.time() - begin + 2)


async def test_an_unknown_key_id_makes_nobody_ask(edge: Edge) -> None:
    user = edge.neighbours["user"]
    before, begin = user.key_fetches, time.monotonic()
    unknown = Tokens(kid="made-up")
    answers = [await edge.rest("GET", "/v1/orders/o1", headers=_shown(unknown)) for _ in range(100)]
    assert {answer.status_code for answer in answers} == {401}
    due = 1 + (time.monotonic() - begin) / KEYS_DELAY.total_seconds()
    assert user.key_fetches <= before + due, "what is asked in any case"


async def test_the_way_by_which_keys_are_asked_for_is_not_open_to_clients(edge: Edge) -> None:
    listeners = (await edge.client.get(f"{edge.admin}/listeners")).text
    (way,) = [line for line in listeners.splitlines() if line.startswith("token-keys::")]
    file = await asyncio.to_thread(Path(way.split("::")[1]).stat)
    assert stat.S_ISSOCK(file.st_mode)
    assert stat.S_IMODE(file.st_mode) == 0o600
