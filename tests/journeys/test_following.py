"""One request is followed through all it sets off: one trace, one correlation id, from REST through the broker."""

import itertools
import json
import secrets
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.journeys.conftest import Person, eventually, order_of
from tests.journeys.running import RunningShop
from tests.journeys.transports import Json

Sell = Callable[[int], Awaitable[Json]]

FOLLOWED = ["order", "product", "inventory", "payment", "notification", "analytics"]


async def test_a_rest_request_is_found_in_every_service_it_reached_by_trace_and_correlation(
    shop: RunningShop, buyer: Person, put_on_sale: Sell
) -> None:
    product = await put_on_sale(5)
    trace_id = secrets.token_hex(16)
    correlation_id = f"journey-{secrets.token_hex(4)}"

    headers = {
        "authorization": f"Bearer {buyer.client.token}",
        "x-correlation-id": correlation_id,
        "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
    }
    async with httpx.AsyncClient(base_url=f"http://{shop.address}", timeout=30) as client:
        response = await client.post("/v1/orders", json=order_of(product["id"]), headers=headers)
    assert response.status_code == 200
    assert response.headers["x-correlation-id"] == correlation_id
    assert response.headers["x-request-id"]

    async def is_everywhere() -> bool:
        return all(
            any(line.get("trace_id") == trace_id and line.get("correlation_id") == correlation_id for line in lines)
            for lines in map(shop.logs, FOLLOWED)
        )

    await eventually(is_everywhere, f"trace {trace_id} with {correlation_id} in every log of {FOLLOWED}")


async def test_no_secret_of_a_buyer_is_in_any_log(shop: RunningShop, buyer: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)
    await buyer.order(product["id"])

    logs = "".join(path.read_text() for path in sorted((shop.home / "logs").glob("*.log*")))

    for secret in (
        str(buyer.client.token),
        buyer.tokens["refreshToken"],
        "correct horse battery staple",
        "tok_visa",
        "Calle Mayor 1",
        shop.admin[1],
    ):
        assert secret not in logs


@pytest.mark.parametrize("claim", ["x" * 5000, "with space", "new\tline", ""])
async def test_a_correlation_id_that_could_harm_a_log_is_not_taken(shop: RunningShop, claim: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{shop.address}", timeout=30) as client:
        response = await client.get("/v1/categories", headers={"x-correlation-id": claim})

    assert response.status_code == 200
    lines = itertools.chain.from_iterable(map(shop.logs, ["product"]))
    assert all(len(line.get("correlation_id", "")) <= 128 for line in lines)
    assert '"with space"' not in json.dumps([line.get("correlation_id") for line in shop.logs("product")])
