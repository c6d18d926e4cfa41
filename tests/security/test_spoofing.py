"""security.md, "spoofing": who somebody is cannot be said in a header, nor what is called by an odd path."""

import re

import grpc
import httpx
import pytest

from tests.journeys.conftest import Person
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Refused, Rest
from tests.raw import send_raw
from tests.security.inside import Inside, refusal

CAPTURE = "/zoco.payment.v1.PaymentService/Capture"
CERTIFICATE = "By=spiffe://zoco.local/payment;Hash=" + "a" * 64 + ";URI=spiffe://zoco.local/order"


def spoofed(admin: Person) -> dict[str, str]:
    return {
        "x-user-id": admin.id,
        "x-subject": admin.id,
        "x-role": "ADMIN",
        "x-forwarded-client-cert": CERTIFICATE,
        "x-envoy-original-path": "/v1/products",
        "x-envoy-internal": "true",
        "x-envoy-decorator-operation": "x",
        "x-jwt-payload": "eyJyb2xlIjoiQURNSU4ifQ",
        "x-spiffe-id": "spiffe://zoco.local/order",
    }


async def test_headers_make_nobody_a_user_and_no_user_an_administrator(
    buyer: Person, admin: Person, nobody: Client
) -> None:
    for name, value in spoofed(admin).items():
        with pytest.raises(Refused) as refused:
            await nobody.call("OrderService.ListOrders", headers={name: value})
        assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED, name
        with pytest.raises(Refused) as refused:
            await buyer.call("UserService.ListUsers", headers={name: value})
        assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED, name
        assert (await buyer.call("UserService.GetUser", {"id": "me"}, headers={name: value}))["id"] == buyer.id


async def test_a_forwarded_certificate_counts_for_nothing_at_a_service_port(inside: Inside) -> None:
    for caller in ("notification", "edge", "portal"):
        for value in (CERTIFICATE, "URI=spiffe://zoco.local/order", f"{CERTIFICATE},{CERTIFICATE}"):
            metadata = [("x-forwarded-client-cert", value)]
            refused = await refusal(inside.channel("payment", caller), CAPTURE, metadata=metadata)
            assert refused.code is grpc.StatusCode.PERMISSION_DENIED, caller


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
        ("x-envoy-expected-rq-timeout-ms", "1"),
        ("x-envoy-max-retries", "1000"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-upstream-alt-stat-name", "x"),
        ("x-envoy-ip-tags", "x"),
        ("x-envoy-original-dst-host", "127.0.0.1:1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "elsewhere.example"),
    ],
)
async def test_headers_that_steer_a_proxy_steer_nothing(buyer: Person, name: str, value: str) -> None:
    assert (await buyer.call("UserService.GetUser", {"id": "me"}, headers={name: value}))["id"] == buyer.id


@pytest.mark.parametrize("transport", [Rest], indirect=True, ids=["REST"])
async def test_a_header_said_twice_counts_for_nothing_either(shop: RunningShop, buyer: Person, admin: Person) -> None:
    bearer = ("authorization", f"Bearer {buyer.tokens['accessToken']}")
    async with httpx.AsyncClient(base_url=f"http://{shop.address}") as client:
        for name, value in spoofed(admin).items():
            answer = await client.get("/v1/users", headers=[bearer, (name, value), (name, value)])
            assert answer.status_code == 403, name


UNKNOWN = re.compile(rb"^grpc-status: (3|12)\r$", re.MULTILINE)

TRICKS = [
    f"/{CAPTURE}",
    CAPTURE.replace("/Capture", "//Capture"),
    f"/.{CAPTURE}",
    f"/v1/..{CAPTURE}",
    f"/v1/%2e%2e{CAPTURE}",
    f"/v1/products/%2e%2e%2f%2e%2e{CAPTURE}",
    CAPTURE.replace("/Capture", "/%43apture"),
    CAPTURE.replace("/Capture", "%2FCapture"),
    CAPTURE.replace("/Capture", "%5CCapture"),
    f"{CAPTURE}/",
    f"{CAPTURE};a=b",
    f"{CAPTURE}%00",
    f"{CAPTURE}?x=1",
    f"{CAPTURE}#x",
    CAPTURE.upper(),
    CAPTURE.lower(),
    f"http://payment{CAPTURE}",
    f"http://127.0.0.1{CAPTURE}",
    "/v1/users/%6de/../..%2Fv1%2Fusers",
]


@pytest.mark.parametrize("target", TRICKS)
async def test_no_spelling_of_a_path_reaches_what_is_not_open(shop: RunningShop, target: str) -> None:
    before = _calls(shop)
    for content_type in ("application/json", "application/grpc-web+proto", "application/grpc"):
        for verb in ("POST", "GET"):
            body = b"" if verb == "GET" else b"\0\0\0\0\0"
            status, head = await send_raw(shop.address, f"{verb} {target} HTTP/1.1", content_type, body)
            # To native gRPC, under HTTP 200: no such method, or no such path at all.
            assert status in {400, 401, 403, 404, 405, 415, 426} or UNKNOWN.search(head), head
    assert _calls(shop) == before


@pytest.mark.parametrize(
    "header",
    [
        f"x-original-url: {CAPTURE}",
        f"x-rewrite-url: {CAPTURE}",
        f"x-envoy-original-path: {CAPTURE}",
        "x-http-method-override: POST",
    ],
)
async def test_no_header_changes_what_is_called(shop: RunningShop, header: str) -> None:
    before = _calls(shop)

    status, head = await send_raw(shop.address, "GET /v1/categories HTTP/1.1", "application/json", b"", header)

    assert status in {200, 415}, head
    assert _calls(shop) == before


def _calls(shop: RunningShop) -> int:
    """How many calls of Capture from outside payment has seen: its access log has a line each."""
    return sum(each.get("method") == CAPTURE and each.get("caller") == "edge" for each in shop.logs("payment"))
