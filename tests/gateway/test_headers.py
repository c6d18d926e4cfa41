"""Headers at the edge: what a client cannot say, what every call carries inside, and what every answer tells."""

import json
import re
from uuid import UUID

import pytest

from tests.gateway.edges import ORIGIN, Edge, until
from zoco.order.v1.order_service_pb2 import GetOrderRequest
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]")

SPOOFED = {
    "x-user-id": "admin",
    "X-User-Role": "ADMIN",
    "x-role": "ADMIN",
    "x-forwarded-client-cert": "By=spiffe://zoco.local/order;URI=spiffe://zoco.local/order",
    "x-envoy-original-path": "/zoco.payment.v1.PaymentService/Refund",
    "x-envoy-internal": "true",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-retry-on": "5xx",
    "x-envoy-force-trace": "1",
    "x-envoy-external-address": "10.0.0.1",
    "x-original-method": "DELETE",
    "x-zoco-anything": "1",
    "baggage": "userId=admin",
    "grpc-trace-bin": "AAAA",
    "anything-bin": "AAAA",
}


async def test_identity_headers_of_a_client_do_not_pass(edge: Edge) -> None:
    assert (await edge.rest("GET", "/v1/orders/o1", headers=SPOOFED)).status_code == 200
    metadata = tuple((name.lower(), value) for name, value in SPOOFED.items() if not name.endswith("-bin"))
    await OrderServiceStub(edge.channel).GetOrder(
        GetOrderRequest(id="o1"), metadata=(*metadata, ("anything-bin", b"x"), ("grpc-trace-bin", b"x"))
    )
    rest, native = edge.neighbours["order"].calls
    for call in (rest, native):
        for name, value in SPOOFED.items():
            assert call.metadata.get(name.lower()) != value, name
            assert not name.endswith("-bin") or name not in call.metadata
        assert "x-envoy-internal" not in call.metadata
        assert call.metadata["x-envoy-external-address"] == "127.0.0.1"
    assert rest.metadata["x-envoy-original-path"] == "/v1/orders/o1"
    assert "x-envoy-original-path" not in native.metadata


async def test_which_way_a_client_came_is_not_told_inside(edge: Edge) -> None:
    said = {
        "forwarded": "for=10.1.2.3;proto=https",
        "x-forwarded-for": "10.1.2.3",
        "x-forwarded-host": "elsewhere.example",
        "x-forwarded-proto": "https",
    }
    assert (await edge.rest("GET", "/v1/orders/o1", headers=said)).status_code == 200
    await OrderServiceStub(edge.channel).GetOrder(GetOrderRequest(id="o1"), metadata=tuple(said.items()))
    for call in edge.neighbours["order"].calls:
        assert not call.metadata.keys() & {*said, "x-envoy-original-method"}


async def test_what_a_client_may_say_passes(edge: Edge) -> None:
    said = {"authorization": f"Bearer {edge.tokens.customer()}", "idempotency-key": "k1", "x-anything": "1"}
    await edge.rest("GET", "/v1/orders/o1", headers=said)
    assert said.items() <= edge.neighbours["order"].calls[0].metadata.items()


async def test_a_request_id_is_made_here_and_returned(edge: Edge) -> None:
    answers = [await edge.rest("GET", path, headers={"x-request-id": "mine"}) for path in ("/v1/orders/o1", "/nope")]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(UUID(each).version == 4 for each in ids)
    assert len(set(ids)) == 2
    assert edge.neighbours["order"].calls[0].metadata["x-request-id"] == ids[0]


async def test_a_correlation_id_is_taken_within_bounds_or_made_and_returned(edge: Edge) -> None:
    given = await edge.rest("GET", "/v1/orders/o1", headers={"x-correlation-id": "c-1"})
    made = await edge.rest("GET", "/v1/orders/o1")
    long = await edge.rest("GET", "/v1/orders/o1", headers={"x-correlation-id": "c" * 5000})
    assert given.headers["x-correlation-id"] == "c-1"
    assert made.headers["x-correlation-id"] == made.headers["x-request-id"]
    assert long.headers["x-correlation-id"] == "c" * 128
    inside = [call.metadata["x-correlation-id"] for call in edge.neighbours["order"].calls]
    assert inside == ["c-1", made.headers["x-request-id"], "c" * 128]


async def test_a_trace_goes_on_or_begins_here(edge: Edge) -> None:
    await edge.rest("GET", "/v1/orders/o1", headers={"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"})
    await edge.rest("GET", "/v1/orders/o1")
    await edge.rest("GET", "/v1/orders/o1", headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
    given, begun, unsampled = edge.neighbours["order"].calls
    parent = TRACEPARENT.fullmatch(str(given.metadata["traceparent"]))
    assert parent
    assert parent[1] == TRACE
    assert parent[2] != SPAN, "the edge is a span of its own"
    assert str(given.metadata["traceparent"]).endswith("-01"), "the client's sampling decision holds"
    assert given.metadata["tracestate"] == "a=1"
    fresh = TRACEPARENT.fullmatch(str(begun.metadata["traceparent"]))
    assert fresh
    assert fresh[1] != TRACE
    assert str(unsampled.metadata["traceparent"]).startswith(f"00-{TRACE}-")
    assert str(unsampled.metadata["traceparent"]).endswith("-00")


async def test_a_trace_header_that_is_none_harms_nothing(edge: Edge) -> None:
    """Envoy hands it on as it is; the service, which cannot read it either, begins a trace."""
    assert (await edge.rest("GET", "/v1/orders/o1", headers={"traceparent": "garbage"})).status_code == 200


@pytest.mark.parametrize("name", ["x'y", "$h", "a`b", "x!", "a|b~c", "q*"])
async def test_a_header_that_grpc_cannot_carry_stays_outside(edge: Edge, name: str) -> None:
    assert (await edge.rest("GET", "/v1/orders/o1", headers={name: "1"})).status_code == 200


async def test_answers_carry_security_headers_errors_included(edge: Edge) -> None:
    for path in ("/v1/orders/o1", "/nope", "/healthz", "/v1/orders/o1?bogus=1"):
        headers = (await edge.rest("GET", path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert "permissions-policy" in headers
        assert headers["server"] == "zoco"
        assert not [name for name in headers if name.startswith(("x-envoy-", "grpc-"))]


async def test_a_page_of_an_allowed_origin_may_read_answers(edge: Edge) -> None:
    asks = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    preflight = await edge.rest("OPTIONS", "/v1/orders", headers=asks)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert preflight.headers["access-control-allow-methods"] == "DELETE, GET, PATCH, POST", "what the contracts have"
    answer = await edge.rest("GET", "/v1/orders/o1", headers={"origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


READABLE = [
    pytest.param("GET", "/v1/nothing", 404, {}, id="no such path"),
    pytest.param("DELETE", "/v1/products", 405, {}, id="no such method"),
    pytest.param("POST", "/v1/orders", 415, {"content-type": "text/plain"}, id="no JSON"),
    pytest.param("GET", "/v1/orders/o1?id=o2", 400, {}, id="said twice"),
    pytest.param("GET", "/v1/orders/o1", 401, {"authorization": "Bearer x"}, id="no token"),
    pytest.param("GET", "/v1/products?pageSize=x", 400, {}, id="no number"),
]
"""Answers of each kind of refusal: by a route, by a filter, by the transcoder."""
OTHERS = [
    pytest.param("GET", "/livez", 200, {}, id="the edge itself"),
    pytest.param("GET", "/v1/a%2Fb", 400, {}, id="an escaped slash"),
    pytest.param("GET", "/", 403, {"connection": "upgrade", "upgrade": "websocket"}, id="an upgrade"),
    pytest.param("GET", "/", 400, {"a_b": "x"}, id="an underscore"),
]
"""What is answered before a route is looked for."""


@pytest.mark.parametrize(("verb", "path", "status", "more"), READABLE)
async def test_a_page_of_an_allowed_origin_may_read_why_it_was_refused(
    edge: Edge, verb: str, path: str, status: int, more: dict[str, str]
) -> None:
    answer = await edge.rest(verb, path, headers={"origin": ORIGIN, **more})
    assert answer.status_code == status
    marks = [answer.headers.get_list(f"access-control-{name}") for name in ("allow-origin", "allow-credentials")]
    assert marks == [[ORIGIN], ["true"]]
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(("verb", "path", "status", "more"), READABLE + OTHERS)
@pytest.mark.parametrize("origin", [None, f"{ORIGIN}0", "http://evil.example", "http://localhost?3000", "null", ""])
async def test_nobody_else_may(
    edge: Edge, verb: str, path: str, status: int, more: dict[str, str], origin: str | None
) -> None:
    headers = more if origin is None else {"origin": origin, **more}
    answer = await edge.rest(verb, path, headers=headers)
    assert answer.status_code == status
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", ["http://localhost:3001", "https://localhost:3000", "http://evil.example", "null"])
async def test_a_page_of_another_origin_may_not(edge: Edge, origin: str) -> None:
    asks = {"origin": origin, "access-control-request-method": "POST"}
    preflight = await edge.rest("OPTIONS", "/v1/orders", headers=asks)
    assert preflight.status_code == 200
    answer = await edge.rest("GET", "/v1/orders/o1", headers={"origin": origin})
    for headers in (preflight.headers, answer.headers):
        assert not [name for name in headers if name.startswith("access-control-")]


async def test_the_access_log_joins_a_request_to_its_method_and_keeps_secrets(edge: Edge) -> None:
    answer = await edge.rest("GET", "/v1/products?query=canary1", headers={"authorization": "Bearer canary2"})

    async def written() -> bool:
        return answer.headers["x-request-id"] in edge.log.read_text()

    await until(written, "the access log is written")
    lines = [line for line in edge.log.read_text().splitlines() if answer.headers["x-request-id"] in line]
    (line,) = map(json.loads, lines)
    assert line["rpc"] == "zoco.product.v1.ProductService/ListProducts"
    assert line["path"] == "/v1/products"
    assert line["workload"] == "product"
    assert line["status"] == 200
    assert "canary" not in edge.log.read_text()
