"""Errors at the edge: one JSON shape for what services and Envoy say, and gRPC's own for gRPC clients."""

import asyncio
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RequestInfo, RetryInfo
from grpc_status import rpc_status

from tests.gateway.edges import Edge, raw_call
from tests.gateway.neighbours import failing
from zoco.order.v1.order_pb2 import Order
from zoco.order.v1.order_service_pb2 import CreateOrderRequest, GetOrderRequest
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET_ORDER = "/zoco.order.v1.OrderService/GetOrder"
JSON = {"content-type": "application/json"}

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
STATUS_OF_CODE = {
    code_pb2.CANCELLED: 499,
    code_pb2.UNKNOWN: 500,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DATA_LOSS: 500,
}


def reasons(answer: httpx.Response) -> list[str]:
    """Check the shape of an error, and give the reasons in it."""
    assert answer.headers["content-type"] == "application/json", answer.text
    body = answer.json()
    assert body.keys() == {"code", "message", "details"}
    assert isinstance(body["message"], str)
    assert body["message"]
    return [detail["reason"] for detail in body["details"] if detail["@type"].endswith("google.rpc.ErrorInfo")]


def detail(answer: httpx.Response, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in answer.json()["details"] if each["@type"] == f"type.googleapis.com/google.rpc.{name}"
    )
    return found


@pytest.mark.parametrize(("code", "status"), STATUS_OF_CODE.items(), ids=map(code_pb2.Code.Name, STATUS_OF_CODE))
async def test_each_code_of_a_service_has_its_http_status(edge: Edge, code: int, status: int) -> None:
    edge.of(GET_ORDER).answers[GET_ORDER] = failing(code, "that is so", ErrorInfo(reason="STATE_CONFLICT"))
    answer = await edge.rest("GET", "/v1/orders/o1")
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert answer.json()["message"] == "that is so"
    assert reasons(answer) == ["STATE_CONFLICT"]


async def test_details_of_a_services_error_arrive_as_json(edge: Edge) -> None:
    edge.of(GET_ORDER).answers[GET_ORDER] = failing(
        code_pb2.FAILED_PRECONDITION,
        "too few pieces",
        ErrorInfo(reason="INSUFFICIENT_STOCK", domain="zoco", metadata={"order_id": "o1"}),
        PreconditionFailure(violations=[PreconditionFailure.Violation(type="STOCK", subject="p1", description="0")]),
        BadRequest(field_violations=[BadRequest.FieldViolation(field="items[0].quantity", description="too many")]),
        RetryInfo(retry_delay={"seconds": 3}),
        RequestInfo(request_id="r1"),
    )
    answer = await edge.rest("GET", "/v1/orders/o1")
    assert detail(answer, "ErrorInfo")["metadata"] == {"order_id": "o1"}
    assert detail(answer, "PreconditionFailure")["violations"][0]["subject"] == "p1"
    assert detail(answer, "BadRequest")["fieldViolations"][0]["field"] == "items[0].quantity"
    assert detail(answer, "RetryInfo")["retryDelay"] == "3s"
    assert detail(answer, "RequestInfo")["requestId"] == "r1"
    assert not any(name.startswith("grpc-") for name in answer.headers)


async def test_when_to_come_back_is_a_header_over_rest(edge: Edge) -> None:
    async def busy(_: Any, context: Any) -> Order:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", (("retry-after", "2"),))
        raise AssertionError("abort raises")

    edge.of(GET_ORDER).answers[GET_ORDER] = busy
    answer = await edge.rest("GET", "/v1/orders/o1")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"


async def test_a_native_client_gets_the_same_details(edge: Edge) -> None:
    info = ErrorInfo(reason="INSUFFICIENT_STOCK", domain="zoco", metadata={"order_id": "o1"})
    edge.of(GET_ORDER).answers[GET_ORDER] = failing(code_pb2.FAILED_PRECONDITION, "too few pieces", info)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await OrderServiceStub(edge.channel).GetOrder(GetOrderRequest(id="o1"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    status = await _status(caught.value)
    unpacked = ErrorInfo()
    assert status.details[0].Unpack(unpacked)
    assert unpacked == info


@pytest.mark.parametrize(
    "path", ["/nope", "/docs/", "/v1", "/v1/orders/", "/v1/orders/o1:nope", "/v1/orders/o1/items", "/V1/orders"]
)
async def test_an_unknown_path_is_404(edge: Edge, path: str) -> None:
    answer = await edge.rest("GET", path)
    assert answer.status_code == 404
    assert answer.json()["code"] == code_pb2.NOT_FOUND
    assert reasons(answer) == ["METHOD_UNKNOWN"]
    assert detail(answer, "RequestInfo")["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("verb", "path", "allow"),
    [
        ("DELETE", "/v1/orders", "GET, POST"),
        ("PUT", "/v1/users/me", "DELETE, GET, PATCH"),
        ("GET", "/v1/orders/o1:cancel", "POST"),
        ("POST", "/v1/products/p1", "GET, PATCH"),
        ("OPTIONS", "/v1/auth:login", "POST"),
        ("POST", "/healthz", "GET"),
        ("HEAD", "/v1/products", "GET, POST"),
    ],
)
async def test_a_wrong_method_on_a_known_path_is_405_with_allow(edge: Edge, verb: str, path: str, allow: str) -> None:
    answer = await edge.rest(verb, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    if verb != "HEAD":
        assert reasons(answer) == ["METHOD_UNKNOWN"]
        assert answer.json()["code"] == code_pb2.UNIMPLEMENTED


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/grpc"]
)
async def test_a_body_that_is_not_json_is_415(edge: Edge, content_type: str) -> None:
    answer = await edge.rest("POST", "/v1/orders", content=b"{}", headers={"content-type": content_type})
    if content_type == "application/grpc":
        assert answer.headers["grpc-status"] == str(code_pb2.INVALID_ARGUMENT)
    else:
        assert answer.status_code == 415
        assert reasons(answer) == ["MALFORMED_REQUEST"]
    assert not edge.neighbours["order"].calls


@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8", "Application/JSON"])
async def test_json_may_be_said_in_other_words(edge: Edge, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await edge.rest("POST", "/v1/orders", content=b'{"requestId":"r1"}', headers=headers)
    assert answer.status_code == 200
    assert edge.neighbours["order"].calls[0].request.request_id == "r1"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"items":[{"quantity":"x"}]}', "items[0].quantity"),
        (b'{"items":[{"quantity":3000000000}]}', "items[0].quantity"),
        (b'{"shippingAddress":[]}', ""),
        (b'{"requestId":', ""),
        (b"{", ""),
        (b"[]", ""),
        (b"\xff\xfe", ""),
    ],
)
async def test_a_body_that_is_no_such_message_is_400_and_names_the_field(edge: Edge, body: bytes, names: str) -> None:
    answer = await edge.rest("POST", "/v1/orders", content=body, headers=JSON)
    assert answer.status_code == 400
    assert reasons(answer) == ["MALFORMED_REQUEST"]
    assert names in answer.json()["message"]
    assert detail(answer, "RequestInfo")["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("query", ["bogus=1", "pageSize=x", "pageSize=99999999999", "state=NOPE"])
async def test_a_query_that_fits_no_field_is_400(edge: Edge, query: str) -> None:
    answer = await edge.rest("GET", f"/v1/orders?{query}")
    assert answer.status_code == 400
    assert reasons(answer) == ["MALFORMED_REQUEST"]


@pytest.mark.parametrize("query", ["id=other", "i%64=other", "asOf=2026-01-01T00:00:00Z&id=", "%49d=o&id"])
async def test_a_query_cannot_name_another_resource_than_the_path(edge: Edge, query: str) -> None:
    answer = await edge.rest("GET", f"/v1/orders/o1?{query}")
    assert answer.status_code == 400
    assert reasons(answer) == ["MALFORMED_REQUEST"]
    assert not edge.neighbours["order"].calls


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("PATCH", "/v1/users/me?user.displayName=Other"),
        ("PATCH", "/v1/users/me?updateMask=displayName&us%65r%2edisplay_name=Other"),
        ("POST", "/v1/categories?category.name=Other"),
        ("POST", "/v1/payments/webhooks/sandbox?body.data=e30%3D"),
        ("POST", "/v1/orders?paymentToken=tok_visa"),
        ("POST", "/v1/orders?x"),
    ],
)
async def test_a_query_cannot_say_what_the_body_does(edge: Edge, verb: str, path: str) -> None:
    answer = await edge.rest(verb, path, json={})
    assert answer.status_code == 400
    assert reasons(answer) == ["MALFORMED_REQUEST"]
    assert not any(neighbour.calls for neighbour in edge.neighbours.values())


async def test_a_body_in_a_content_coding_is_415_and_says_what_is_taken(edge: Edge) -> None:
    answer = await edge.rest("POST", "/v1/orders", content=b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert reasons(answer) == ["MALFORMED_REQUEST"]


async def test_a_method_that_nobody_knows_is_a_wrong_method(edge: Edge) -> None:
    answer = await edge.rest("FROB", "/v1/products")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_a_body_cannot_name_another_resource_than_the_path(edge: Edge) -> None:
    for verb, path, body in (
        ("PATCH", "/v1/users/me", {"id": "you"}),
        ("POST", "/v1/orders/o1:cancel", {"id": "o2"}),
        ("POST", "/v1/stock/p1:adjust", {"product_id": "p2", "delta": 1}),
    ):
        answer = await edge.rest(verb, path, json=body)
        assert answer.status_code == 400, path
        assert reasons(answer) == ["MALFORMED_REQUEST"]
    assert (await edge.rest("PATCH", "/v1/users/me?user.id=you", json={})).status_code == 400
    assert (await edge.rest("POST", "/v1/stock/p1:adjust?productId=p2", json={"delta": 1})).status_code == 400
    assert not edge.neighbours["user"].calls
    assert not edge.neighbours["inventory"].calls
    # Envoy compares names as the contract has them. In camel case the path wins, as it should, but nobody is told.
    assert (await edge.rest("POST", "/v1/stock/p1:adjust", json={"productId": "p2", "delta": 1})).status_code == 200
    assert edge.neighbours["inventory"].calls[0].request.product_id == "p1"


async def test_a_service_that_takes_too_long_is_504_for_rest_and_deadline_exceeded_for_grpc(edge: Edge) -> None:
    path = "/zoco.user.v1.AuthService/GetJwks"

    async def never(_: Any, __: Any) -> Any:
        await asyncio.sleep(60)

    edge.of(path).answers[path] = never
    answer = await edge.rest("GET", "/.well-known/jwks.json")  # 2 s, the shortest in the contract
    assert answer.status_code == 504
    assert answer.json()["code"] == code_pb2.DEADLINE_EXCEEDED
    edge.of(GET_ORDER).answers[GET_ORDER] = never
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await OrderServiceStub(edge.channel).GetOrder(GetOrderRequest(id="o1"), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_grpc_clients_get_grpc_errors_from_the_edge_itself(edge: Edge) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw_call(edge.channel, "/zoco.order.v1.OrderService/Nope")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    status = await _status(caught.value)
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("METHOD_UNKNOWN", "zoco")
    with pytest.raises(grpc.aio.AioRpcError) as large:
        await OrderServiceStub(edge.channel).CreateOrder(CreateOrderRequest(request_id="x" * 3_500_000))
    assert large.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, "as gRPC itself says"


async def test_what_cannot_be_read_as_http_is_refused(edge: Edge) -> None:
    for path in ("/v1/orders/a%2Fb", "/v1/orders/a%5Cb", "/v1/orders/a%2fb"):
        answer = await edge.rest("GET", path)
        assert answer.status_code == 400
        assert reasons(answer) == ["MALFORMED_REQUEST"]
    assert (await edge.rest("GET", "/v1/products", headers={"x_under": "1"})).status_code == 400
    assert (await edge.rest("GET", "/v1/products", headers={"x-long": "y" * 40_000})).status_code == 431


async def _status(error: grpc.aio.AioRpcError) -> Any:
    metadata = dict(error.trailing_metadata())
    status = rpc_status.status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    return status
