"""security.md, "injection": data stays data, in SQL, logs, subjects and mail; nobody is made to call anybody."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from email import message_from_bytes
from typing import Any

import grpc
import nats
import pytest

from mesh.bus.subjects import BadSubject, events_of, literal, token, wakes_of
from mesh.ids import uuid7
from tests.journeys.conftest import Person, eventually
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Json, Refused, Rest
from tests.security.asking import code_of

Sell = Callable[[int], Awaitable[Json]]

rest_only = pytest.mark.parametrize("transport", [Rest], indirect=True, ids=["REST"])

SQL = [
    "' OR '1'='1",
    "'; DROP TABLE product; --",
    "\\' --",
    "%",
    "_",
    "a' UNION SELECT version() --",
    "$1",
    ":x",
    "%s",
    "((",
]


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_a_search_is_searched_for(nobody: Client, text: str) -> None:
    every = (await nobody.call("ProductService.ListProducts", {"pageSize": 1}))["totalSize"]

    found = await nobody.call("ProductService.ListProducts", {"query": text, "pageSize": 1})

    assert found["totalSize"] < every or not any(each.isalnum() for each in text)
    assert (await nobody.call("ProductService.ListProducts", {"pageSize": 1}))["totalSize"] >= every


@pytest.mark.parametrize("text", [*SQL, "name; SELECT 1", "name desc, price", "(SELECT 1)", "name--", "NAME"])
async def test_sql_in_an_order_a_filter_or_a_page_token_is_refused(
    nobody: Client, genuine_customer: str, text: str
) -> None:
    customer = nobody.with_token(genuine_customer)
    for method, request in (
        ("ProductService.ListProducts", {"orderBy": text}),
        ("ProductService.ListProducts", {"minPrice": text}),
        ("ProductService.ListProducts", {"categoryId": text}),
        ("ProductService.ListProducts", {"pageToken": text}),
        ("OrderService.ListOrders", {"pageToken": text}),
        ("NotificationService.ListNotifications", {"pageToken": text}),
        ("OrderService.GetOrder", {"id": text.replace("/", "")}),
    ):
        with pytest.raises(Refused) as refused:
            await customer.call(method, request)
        assert refused.value.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}, (method, request)


@rest_only
async def test_a_line_break_makes_no_line_of_its_own_in_a_log(
    shop: RunningShop, buyer: Person, nobody: Client, put_on_sale: Sell
) -> None:
    mark = uuid7()
    forged = '\r\n{"level": "forged", "event": "' + mark + '"}\n'
    escaped = forged.replace("\r", "%0d").replace("\n", "%0a").replace('"', "%22").replace(" ", "%20")
    order = await buyer.order((await put_on_sale(3))["id"])
    for method, request in (
        ("OrderService.CancelOrder", {"id": order["id"], "reason": forged}),
        ("ProductService.ListProducts", {"query": forged}),
        ("AuthService.Login", {"email": forged, "password": forged}),
        ("UserService.Register", {"email": f"{mark}@example.com", "password": forged, "displayName": forged}),
        ("OrderService.CreateOrder", {"requestId": forged, "items": []}),
    ):
        assert await code_of(buyer, method, request) is not grpc.StatusCode.INTERNAL, method
    transport: Any = buyer.client.transport
    headers = {"x-correlation-id": escaped, "user-agent": escaped, "referer": escaped, "x-request-id": escaped}
    await transport._client.get(f"/v1/products/{escaped}", headers=headers)
    await transport._client.get(f"/{mark}/{escaped}")

    async def is_logged() -> bool:
        return mark in (shop.home / "logs" / "edge.log").read_text()

    await eventually(is_logged, "line in the access log")
    for path in (shop.home / "logs").glob("*.log"):
        lines = path.read_text(errors="replace").splitlines()
        assert not [each for each in lines if mark in each and each.lstrip().startswith('{"level": "forged"')], path


@pytest.mark.parametrize("name", ["*", ">", "a.b", "a.*", "", " ", "a b", "a\r\nPUB x", "\0", "é", "$SYS"])
def test_no_wildcard_becomes_part_of_a_subject(name: str) -> None:
    for make in (token, events_of, wakes_of, literal):
        if make is literal and name == "a.b":
            continue  # two fixed parts
        with pytest.raises(BadSubject):
            make(name)


@pytest.mark.parametrize("wildcard", ["*", ">", "zoco.>"])
async def test_a_wildcard_is_no_id_to_watch_or_to_ask_for(nobody: Client, wildcard: str) -> None:
    for method, request in (
        ("InventoryService.BatchGetStock", {"productIds": [wildcard]}),
        ("ProductService.BatchGetProducts", {"ids": [wildcard]}),
        ("PaymentService.HandleWebhook", {"provider": wildcard}),
    ):
        with pytest.raises(Refused) as refused:
            await nobody.call(method, request)
        assert refused.value.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}, method
    async with nobody.watch("InventoryService.WatchStock", {"productIds": [wildcard]}) as stream:
        with pytest.raises(Refused) as refused:
            await anext(stream)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("subject", [">", "*", "zoco.>", "zoco.*.v1.*", "wake.>", "_INBOX.>", "$JS.>", "$SYS.>"])
async def test_a_services_account_hears_nothing_by_a_wildcard(shop: RunningShop, subject: str) -> None:
    assert await _is_refused(shop, "notification", lambda broker: broker.subscribe(subject))


@pytest.mark.parametrize(
    "subject",
    [
        "zoco.payment.v1.PaymentCaptured",
        "zoco.order.v1.OrderConfirmed",
        "wake.payment",
        "$JS.API.STREAM.DELETE.zoco-payment",
        "$JS.API.STREAM.PURGE.zoco-payment",
        "$JS.API.CONSUMER.DELETE.zoco-order.analytics",
    ],
)
async def test_a_services_account_can_not_speak_for_another(shop: RunningShop, subject: str) -> None:
    assert await _is_refused(shop, "notification", lambda broker: broker.publish(subject, b"{}"))


async def test_nobody_gets_to_the_broker_without_an_account(shop: RunningShop) -> None:
    port = json.loads((shop.home / "run.json").read_text())["ports"]["nats"]
    for account in ({}, {"user": "zoco", "pass": "zoco"}, {"user": "notification", "pass": ""}, {"user": "payment"}):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"CONNECT {json.dumps({'verbose': False, **account})}\r\nSUB > 1\r\nPING\r\n".encode())
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert b"Authorization Violation" in said
        assert b"PONG" not in said


async def _is_refused(shop: RunningShop, workload: str, act: Callable[[Any], Awaitable[Any]]) -> bool:
    """Whether the broker refuses what a service's account tries."""
    port = json.loads((shop.home / "run.json").read_text())["ports"]["nats"]
    password = json.loads((shop.home / "secrets.json").read_text())["brokers"][workload]
    refused = asyncio.Event()

    async def told(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            refused.set()

    broker = await nats.connect(f"nats://{workload}:{password}@127.0.0.1:{port}", allow_reconnect=False, error_cb=told)
    try:
        await act(broker)
        await broker.flush(timeout=5)
        async with asyncio.timeout(5):
            return await refused.wait()
    except TimeoutError:
        return False
    finally:
        await broker.close()


@rest_only
@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00:ec2::254]/",
        "https://0.0.0.0/",
        "https://user:password@example.com/",
        "file:///etc/passwd",
        "gopher://10.0.0.1:6379/_FLUSHALL",
        "https://example.com/\r\nhost: inside",
    ],
)
async def test_a_callback_url_that_leads_inside_is_refused(admin: Person, url: str) -> None:
    with pytest.raises(Refused) as refused:
        await admin.call("WebhookService.CreateWebhook", {"webhook": {"url": url}})
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@rest_only
async def test_html_in_a_notification_stays_text(shop: RunningShop, buyer: Person, put_on_sale: Sell) -> None:
    await buyer.call("UserService.UpdateUser", {"user": {"id": "me", "displayName": HTML}, "updateMask": "displayName"})
    order = await buyer.order((await put_on_sale(3))["id"])
    await buyer.call("OrderService.CancelOrder", {"id": order["id"], "reason": HTML})

    async def has_been_told() -> bool:
        listed = await buyer.call("NotificationService.ListNotifications", {"pageSize": 100})
        return any(order["id"] in json.dumps(each) for each in listed["notifications"])

    await eventually(has_been_told, "notification of the order")
    answer = await buyer.client.answer("NotificationService.ListNotifications", {"pageSize": 100})
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"

    def mails() -> list[bytes]:
        everything = [path.read_bytes() for path in (shop.home / "mail").glob("*.eml")]
        return [each for each in everything if buyer.user["email"].encode() in each]

    async def has_mail() -> bool:
        return bool(mails())

    await eventually(has_mail, "mail")
    for each in mails():
        kinds = {part.get_content_type() for part in message_from_bytes(each).walk()}
        assert kinds == {"text/plain"}


@pytest.mark.parametrize("text", ["\0", "a\0b", "a" * 10 + "\0"])
async def test_a_nul_byte_is_refused_and_breaks_nothing(
    buyer: Person, admin: Person, nobody: Client, put_on_sale: Sell, text: str
) -> None:
    product = await put_on_sale(3)
    order = await buyer.order(product["id"])
    for person, method, request in (
        (buyer, "OrderService.CancelOrder", {"id": order["id"], "reason": text}),
        (buyer, "UserService.UpdateUser", {"user": {"id": "me", "displayName": text}, "updateMask": "displayName"}),
        (buyer, "OrderService.CreateOrder", {"requestId": text}),
        (admin, "OrderService.ShipOrder", {"id": order["id"], "carrier": text}),
        (admin, "InventoryService.AdjustStock", {"productId": product["id"], "delta": 1, "reason": text}),
        (admin, "ProductService.UpdateProduct", {"product": {"id": product["id"], "description": text}}),
        (admin, "ProductService.CreateCategory", {"category": {"name": text}}),
        (nobody, "ProductService.ListProducts", {"query": text}),
        (nobody, "AuthService.Login", {"email": text, "password": text}),
    ):
        code = await code_of(person, method, request)
        wanted = {grpc.StatusCode.INVALID_ARGUMENT}
        if person is nobody:
            # Whoever searches for it finds nothing, whoever logs in by it is nobody.
            wanted |= {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}
        assert code in wanted, method


@rest_only
async def test_nobody_is_made_to_call_an_address_inside(admin: Person, put_on_sale: Sell) -> None:
    visits: list[str] = []

    async def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append("visited")
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    product = await put_on_sale(1)
    for url in (
        f"http://127.0.0.1:{port}/",
        f"https://127.0.0.1:{port}/picture.png",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:1/",
        "javascript:alert(1)",
        "data:text/html,x",
        "//127.0.0.1/x",
    ):
        change = {"product": {"id": product["id"], "imageUrl": url}, "updateMask": "imageUrl"}
        code = await code_of(admin, "ProductService.UpdateProduct", change)
        wanted = grpc.StatusCode.OK if url.startswith("https://") else grpc.StatusCode.INVALID_ARGUMENT
        assert code is wanted, url
    server.close()
    await server.wait_closed()
    assert not visits
