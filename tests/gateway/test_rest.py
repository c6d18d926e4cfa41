"""REST through the edge: every google.api.http rule of the contract; how paths, queries and bodies become messages."""

import asyncio
import contextlib
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.templates import parse_template
from mesh.policy import Audience, HttpRoute, MethodPolicy
from tests.gateway.edges import Edge
from tests.gateway.neighbours import answering, policy, response_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

RULES = [
    pytest.param(method, route, id=f"{route.verb} {route.path}")
    for method in policy().methods.values()
    for route in method.routes
]
JSON = {"content-type": "application/json"}
PRODUCT = "zoco.product.v1.ProductService"


@pytest.mark.parametrize(("method", "route"), RULES)
async def test_every_rest_rule_reaches_its_method_with_the_paths_values(
    edge: Edge, method: MethodPolicy, route: HttpRoute
) -> None:
    variables = parse_template(route.path).variables
    path = route.path
    for number, variable in enumerate(variables):
        path = path.replace(f"{{{variable}}}", f"value{number}")
    body: dict[str, Any] = {"json": {}} if route.body else {}

    answer = await edge.rest(route.verb, path, **body)

    assert answer.status_code == 200, answer.text
    (call,) = edge.of(method.path).calls
    assert call.path == method.path
    for number, variable in enumerate(variables):
        assert _field(call.request, variable) == f"value{number}"


async def test_only_exposed_methods_have_rest_rules() -> None:
    assert all(method.audience is not Audience.NONE for method in policy().methods.values() if method.routes)


async def test_a_body_rule_of_a_star_fills_the_whole_message(edge: Edge) -> None:
    body = {"items": [{"productId": "p1", "quantity": 2}], "paymentToken": "tok_visa", "requestId": "r1"}
    answer = await edge.rest("POST", "/v1/orders", json=body)
    assert answer.status_code == 200
    (call,) = edge.neighbours["order"].calls
    assert call.request.items[0].product_id == "p1"
    assert call.request.items[0].quantity == 2
    assert call.request.request_id == "r1"


async def test_a_body_rule_of_a_field_fills_that_field_and_the_query_the_rest(edge: Edge) -> None:
    answer = await edge.rest("PATCH", "/v1/users/me?updateMask=displayName", json={"displayName": "Ana"})
    assert answer.status_code == 200
    (call,) = edge.neighbours["user"].calls
    assert call.request.user.id == "me"
    assert call.request.user.display_name == "Ana"
    assert list(call.request.update_mask.paths) == ["display_name"]


@pytest.mark.parametrize("name", ["pageSize", "page_size"])
async def test_queries_take_both_spellings_of_a_field(edge: Edge, name: str) -> None:
    answer = await edge.rest("GET", f"/v1/products?{name}=7&query=red+%26+green&orderBy=price%20desc")
    assert answer.status_code == 200
    (call,) = edge.neighbours["product"].calls
    assert call.request.page_size == 7
    assert call.request.query == "red & green"
    assert call.request.order_by == "price desc"


async def test_repeated_query_fields_and_enums_and_times_are_read(edge: Edge) -> None:
    assert (await edge.rest("GET", "/v1/products:batchGet?ids=a&ids=b")).status_code == 200
    assert list(edge.neighbours["product"].calls[0].request.ids) == ["a", "b"]
    for interval in ("WEEK", "3"):
        query = f"interval={interval}&startTime=2026-01-02T03:04:05Z"
        assert (await edge.rest("GET", f"/v1/analytics/sales?{query}")).status_code == 200
    first, second = edge.neighbours["analytics"].calls
    assert first.request == second.request
    assert first.request.start_time.ToJsonString() == "2026-01-02T03:04:05Z"


async def test_answers_are_proto3_json_with_zero_values_and_camel_case(edge: Edge) -> None:
    path = f"/{PRODUCT}/GetProduct"
    edge.of(path).answers[path] = answering(response_of(path, id="p1"))
    answer = (await edge.rest("GET", "/v1/products/p1")).json()
    assert answer["id"] == "p1"
    assert answer["availableQuantity"] == 0
    assert answer["description"] == ""
    assert answer["state"].endswith("UNSPECIFIED")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/octet-stream"])
async def test_a_webhooks_body_arrives_byte_for_byte_whatever_its_type(edge: Edge, content_type: str) -> None:
    body = b'{ "id":"evt_1",\n "amount": 1.0e2 , "odd": "\\u00e9" }  '
    headers = {"content-type": content_type, "stripe-signature": "t=1,v1=abc"}
    answer = await edge.rest("POST", "/v1/payments/webhooks/stripe", content=body, headers=headers)
    assert answer.status_code == 200
    (call,) = edge.neighbours["payment"].calls
    assert call.request.provider == "stripe"
    assert call.request.body.data == body
    assert call.request.body.content_type == content_type
    assert call.metadata["stripe-signature"] == "t=1,v1=abc"


async def test_a_large_answer_passes_and_a_large_request_is_refused_as_json(edge: Edge) -> None:
    path = f"/{PRODUCT}/GetProduct"
    edge.of(path).answers[path] = answering(response_of(path, description="x" * 2_000_000))
    assert len((await edge.rest("GET", "/v1/products/p1")).json()["description"]) == 2_000_000
    rows = {"rows": [{"line": 1, "name": "n", "description": "y" * 2_000_000}]}
    assert (await edge.rest("POST", "/v1/products:import", json=rows)).status_code == 200
    rows["rows"][0]["description"] = "y" * 4_000_000
    text = json.dumps(rows).encode()
    pieces = [text[start : start + 65536] for start in range(0, len(text), 65536)]
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    for framing, parts in (
        ({"content-length": str(len(text))}, pieces),
        ({"transfer-encoding": "chunked"}, [*chunks, b"0\r\n\r\n"]),
    ):
        status, refused = await _post_while_reading(edge, "/v1/products:import", {**JSON, **framing}, parts)
        assert status == 413
        assert refused["code"] == 3


async def _post_while_reading(edge: Edge, path: str, headers: dict[str, str], parts: list[bytes]) -> tuple[int, Any]:
    """Post, and read the answer while still sending: who sends to the end first may find the connection cut by then."""
    place = urlsplit(edge.url)
    said = {"host": place.netloc, **headers, **edge.shown}
    head = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items()), "", ""]
    reader, writer = await asyncio.open_connection(place.hostname, place.port)

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            for part in ("\r\n".join(head).encode(), *parts):
                writer.write(part)
                await writer.drain()

    sending = asyncio.create_task(send())
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    answer = json.loads(await reader.readexactly(length))
    writer.transport.abort()
    await sending
    return int(status.split(" ")[1]), answer


async def test_an_object_where_a_list_is_expected_counts_as_a_list_of_one(edge: Edge) -> None:
    """Proto3 JSON knows no such form, but Envoy takes it; what is in it is validated by the service as ever."""
    assert (await edge.rest("POST", "/v1/orders", json={"items": {"quantity": 2}})).status_code == 200
    assert [item.quantity for item in edge.neighbours["order"].calls[0].request.items] == [2]


async def test_an_encoded_value_in_the_path_is_decoded_once(edge: Edge) -> None:
    assert (await edge.rest("GET", "/v1/products/a%20b%3Ac%2541")).status_code == 200
    assert edge.neighbours["product"].calls[0].request.id == "a b:c%41"


def _field(message: Any, path: str) -> Any:
    for name in path.split("."):
        message = getattr(message, name)
    return message


async def test_json_of_an_error_free_delete_is_an_empty_object(edge: Edge) -> None:
    answer = await edge.rest("DELETE", "/v1/users/me")
    assert answer.status_code == 200
    assert json.loads(answer.text) == {}
