"""Rate limits at the edge: one bucket a tier and client, whichever RPC and protocol; clear answers when it is empty."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from mesh.errors import MeshError, ResourceExhausted, from_rpc_error
from tests.gateway.edges import ORIGIN, Edge, managers, start_edge
from tests.gateway.test_errors import detail, reasons
from zoco.user.v1.auth_service_pb2 import LoginRequest
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREDENTIALS, ORDERS = 2, 5
"""What the contract lets pass a second; here nothing comes back while the tests run."""


def _slowly(config: dict[str, Any]) -> None:
    for manager in managers(config):
        manager["xff_num_trusted_hops"] = 1  # so that a test can be any address
        for each in manager["http_filters"]:
            for descriptor in each.get("typed_config", {}).get("descriptors", ()):
                descriptor["token_bucket"] |= {"tokens_per_fill": 1, "fill_interval": "3600s"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        directory = tmp_path_factory.mktemp("strict")
        yield await start_edge(stack, pki, directory, environment="production", alter=_slowly)


async def _log_in(edge: Edge, address: str, path: str = "auth:login") -> Any:
    return await edge.rest("POST", f"/v1/{path}", json={}, headers={"x-forwarded-for": address, "origin": ORIGIN})


async def test_all_of_a_tier_comes_out_of_one_bucket_whatever_the_protocol(strict: Edge) -> None:
    here = "192.0.2.1"
    stub = AuthServiceStub(strict.bare)
    assert (await _log_in(strict, here)).status_code == 200
    await stub.Login(LoginRequest(), metadata=(("x-forwarded-for", here),))
    assert CREDENTIALS == 2
    for path in ("auth:login", "auth:refresh", "users"):
        assert (await _log_in(strict, here, path)).status_code == 429
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Login(LoginRequest(), metadata=(("x-forwarded-for", here),))
    assert isinstance(from_rpc_error(caught.value), ResourceExhausted)
    elsewhere = await strict.rest("GET", "/v1/products/p1", headers={"x-forwarded-for": here})
    assert elsewhere.status_code == 200, "another tier is another bucket"
    assert (await _log_in(strict, "192.0.2.2")).status_code == 200, "and so is another address"


async def test_who_is_refused_is_told_why_and_when_to_come_back(strict: Edge) -> None:
    here = "192.0.2.10"
    answers = [await _log_in(strict, here) for _ in range(CREDENTIALS + 1)]
    refused = answers[-1]
    assert refused.status_code == 429
    assert reasons(refused) == ["RATE_LIMITED"]
    assert refused.json()["code"] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert int(refused.headers["retry-after"]) > 0
    assert detail(refused, "RetryInfo")["retryDelay"] == f"{refused.headers['retry-after']}s"
    assert refused.headers["access-control-allow-origin"] == ORIGIN, "a page may read it"
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert not [name for name in refused.headers if name.startswith("x-envoy")]
    error = await _refused_login(strict, here)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert error.retry_after is not None


async def _refused_login(edge: Edge, address: str) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await AuthServiceStub(edge.bare).Login(LoginRequest(), metadata=(("x-forwarded-for", address),))
    return from_rpc_error(caught.value)


async def test_a_network_of_one_ipv6_host_is_one_client(strict: Edge) -> None:
    for last in range(CREDENTIALS):
        assert (await _log_in(strict, f"2001:db8::{last}")).status_code == 200
    assert (await _log_in(strict, "2001:db8::ffff:1")).status_code == 429
    assert (await _log_in(strict, "2001:db8:0:1::1")).status_code == 200


async def test_a_persons_requests_are_counted_together_and_nobody_elses_with_them(strict: Edge) -> None:
    async def order(user: str, address: str, token: str | None = None) -> int:
        headers = {"authorization": f"Bearer {token or strict.tokens.customer(user)}", "x-forwarded-for": address}
        return (await strict.rest("POST", "/v1/orders", json={}, headers=headers)).status_code

    forged = strict.tokens.customer("ana")[:-8] + "AAAAAAAA"
    assert [await order("ana", "192.0.2.20", forged) for _ in range(ORDERS + 1)] == [401] * (ORDERS + 1)
    assert [await order("ana", f"192.0.2.{20 + number}") for number in range(ORDERS)] == [200] * ORDERS
    assert await order("ana", "192.0.2.30") == 429, "from wherever she calls, with whichever token of hers"
    assert await order("ben", "192.0.2.20") == 200
    read = {"authorization": f"Bearer {strict.tokens.customer('ana')}"}
    assert (await strict.rest("GET", "/v1/orders/o1", headers=read)).status_code == 200, "another tier"


async def test_the_portal_is_limited_too(strict: Edge) -> None:
    here = {"x-forwarded-for": "192.0.2.40"}
    statuses = [(await strict.rest("GET", "/healthz", headers=here)).status_code for _ in range(101)]
    assert statuses == [200] * 100 + [429]


async def test_an_address_that_a_client_makes_up_is_not_believed(edge: Edge) -> None:
    await edge.rest("GET", "/v1/orders/o1", headers={"x-forwarded-for": "10.1.2.3", "forwarded": "for=10.1.2.3"})
    (call,) = edge.neighbours["order"].calls
    assert call.metadata["x-envoy-external-address"] == "127.0.0.1"
