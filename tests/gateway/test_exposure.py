"""What is not exposed cannot be reached: by no protocol, no spelling and no trick of paths."""

from urllib.parse import urlsplit

import grpc
import pytest

from mesh.policy import Audience, MethodPolicy
from tests.gateway.edges import Edge, grpc_web_frame, raw_call
from tests.gateway.neighbours import policy
from tests.raw import send_raw

pytestmark = pytest.mark.asyncio(loop_scope="session")

HIDDEN = [method for method in policy().methods.values() if method.audience is Audience.NONE]
INTERNAL = [
    "/grpc.channelz.v1.Channelz/GetServers",
    "/grpc.health.v1.Health/Watch",
    "/grpc.health.v1.Health/List",
    "/stats",
    "/metrics",
    "/ready",
    "/config_dump",
    "/quitquitquit",
]


async def test_the_contract_hides_something() -> None:
    assert len(HIDDEN) >= 7


@pytest.mark.parametrize("method", HIDDEN, ids=lambda method: method.path)
async def test_hidden_methods_are_unknown_to_every_protocol(edge: Edge, method: MethodPolicy) -> None:
    for channel in (edge.channel, edge.secure_channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw_call(channel, method.path)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    for content_type in ("application/grpc-web+proto", "application/grpc-web", "application/grpc-web-text"):
        web = await edge.rest("POST", method.path, content=grpc_web_frame(b""), headers={"content-type": content_type})
        assert web.headers["grpc-status"] == "12"
    rest = await edge.rest("POST", method.path, json={})
    assert rest.status_code == 404
    assert not edge.of(method.path).calls


@pytest.mark.parametrize("path", INTERNAL)
async def test_what_runs_beside_the_services_is_not_reachable(edge: Edge, path: str) -> None:
    for verb in ("GET", "POST"):
        assert (await edge.rest(verb, path)).status_code == 404
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw_call(edge.channel, path)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


TRICKS = [
    "//zoco.payment.v1.PaymentService/Refund",
    "/zoco.payment.v1.PaymentService//Refund",
    "/./zoco.payment.v1.PaymentService/Refund",
    "/v1/../zoco.payment.v1.PaymentService/Refund",
    "/v1/orders/../../zoco.payment.v1.PaymentService/Refund",
    "/zoco.payment.v1.PaymentService/%52efund",
    "/zoco.payment.v1.PaymentService%2FRefund",
    "/zoco.payment.v1.PaymentService/Refund/",
    "/zoco.payment.v1.PaymentService/Refund?x=1",
    "/zoco.payment.v1.PaymentService/Refund;a=b",
    "/zoco.payment.v1.PaymentService/Refund%00",
    "/ZOCO.PAYMENT.V1.PAYMENTSERVICE/REFUND",
    "/zoco.payment.v1.paymentservice/refund",
    "http://payment/zoco.payment.v1.PaymentService/Refund",
    "http://127.0.0.1/zoco.payment.v1.PaymentService/Refund",
    "/zoco.payment.v1.PaymentService/Refund#x",
    "/\\zoco.payment.v1.PaymentService/Refund",
]


@pytest.mark.parametrize("target", TRICKS)
@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc-web+proto", "application/json"])
async def test_no_spelling_of_a_hidden_path_reaches_it(edge: Edge, target: str, content_type: str) -> None:
    for method in ("POST", "GET", "post", "PRI"):
        line = f"{method} {target} HTTP/1.1"
        status, _ = await send_raw(urlsplit(edge.url).netloc, line, content_type, grpc_web_frame(b""))
        assert status != 200 or content_type == "application/grpc"  # where grpc-status says that there is none
    assert not edge.neighbours["payment"].calls


@pytest.mark.parametrize(
    "header", ["x-http-method-override: POST", "x-original-url", "x-rewrite-url", "x-envoy-original-path"]
)
async def test_no_header_changes_the_path_or_the_method(edge: Edge, header: str) -> None:
    value = header if ":" in header else f"{header}: /zoco.payment.v1.PaymentService/Refund"
    line = "POST /v1/products HTTP/1.1"
    status, _ = await send_raw(urlsplit(edge.url).netloc, line, "application/json", b"{}", value)
    assert status == 401, "the path that was sent asks for a token"
    assert not edge.neighbours["payment"].calls
