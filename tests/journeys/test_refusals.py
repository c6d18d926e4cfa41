"""What does not work out ends well, and what is not allowed is refused as the contract says."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.ids import uuid7
from tests.harness import Tokens
from tests.journeys.conftest import PASSWORD, Person, eventually, order_of, stock_of
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Json, Refused

Sell = Callable[[int], Awaitable[Json]]
Register = Callable[[], Awaitable[Person]]


@pytest.mark.parametrize(
    ("card", "decline_reason"), [("tok_declined", "card_declined"), ("tok_insufficient_funds", "insufficient_funds")]
)
async def test_a_declined_card_gives_the_stock_back(
    buyer: Person, admin: Person, put_on_sale: Sell, card: str, decline_reason: str
) -> None:
    product = await put_on_sale(5)

    with pytest.raises(Refused) as refused:
        await buyer.order(product["id"], 3, card)

    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_DECLINED")
    order = await buyer.call("OrderService.GetOrder", {"id": refused.value.metadata["order_id"]})
    assert (order["state"], order["rejection"]["declineReason"]) == ("REJECTED", decline_reason)

    async def is_back() -> bool:
        return await stock_of(admin, product["id"]) == (5, 0, 0)

    await eventually(is_back, "stock given back")


async def test_a_sold_out_product_is_named_with_a_violation_each(buyer: Person, put_on_sale: Sell) -> None:
    plenty, scarce, gone = await put_on_sale(9), await put_on_sale(2), await put_on_sale(0)
    request = order_of(plenty["id"])
    request["items"] = [{"productId": each["id"], "quantity": 3} for each in (plenty, scarce, gone)]

    with pytest.raises(Refused) as refused:
        await buyer.call("OrderService.CreateOrder", request)

    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_STOCK")
    violations = refused.value.details["PreconditionFailure"]["violations"]
    assert {each["subject"] for each in violations} == {scarce["id"], gone["id"]}
    order = await buyer.call("OrderService.GetOrder", {"id": refused.value.metadata["order_id"]})
    assert order["state"] == "REJECTED"


async def test_a_cancelled_order_gives_money_and_stock_back(buyer: Person, admin: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)
    order = await buyer.order(product["id"], 2)

    await buyer.call("OrderService.CancelOrder", {"id": order["id"], "reason": "changed my mind"})

    async def is_undone() -> bool:
        now = await buyer.call("OrderService.GetOrder", {"id": order["id"]})
        payment = await buyer.call("PaymentService.GetPayment", {"id": order["paymentId"]})
        stock = await stock_of(admin, product["id"])
        money_back = payment["refundedAmount"] == now["refundedAmount"] == order["totalAmount"]
        return bool(now["state"] == "CANCELLED" and money_back and stock == (5, 0, 0))

    await eventually(is_undone, "money and stock given back")
    again = await buyer.call("OrderService.CancelOrder", {"id": order["id"]})
    assert again["state"] == "CANCELLED"


async def test_after_shipping_an_order_can_not_be_cancelled(buyer: Person, admin: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)
    order = await buyer.order(product["id"])
    await admin.call("OrderService.ShipOrder", {"id": order["id"], "carrier": "Correos"})

    with pytest.raises(Refused) as refused:
        await buyer.call("OrderService.CancelOrder", {"id": order["id"]})

    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT")


async def test_fifty_buyers_for_ten_pieces_end_with_exactly_ten_confirmed(
    register: Register, admin: Person, put_on_sale: Sell
) -> None:
    product = await put_on_sale(10)
    buyers = [await register() for _ in range(5)]

    async def buy(number: int) -> str:
        buyer = buyers[number % len(buyers)]
        try:
            order_id = (await buyer.order(product["id"], requestId=f"k{number}"))["id"]
        except Refused as refused:
            if refused.reason != "INSUFFICIENT_STOCK":
                raise
            order_id = refused.metadata["order_id"]

        async def is_decided() -> bool:
            return bool((await buyer.call("OrderService.GetOrder", {"id": order_id}))["state"] != "PENDING")

        await eventually(is_decided, "decision", limit=60)
        return str((await buyer.call("OrderService.GetOrder", {"id": order_id}))["state"])

    states = Counter(await asyncio.gather(*(buy(number) for number in range(50))))

    assert states == {"CONFIRMED": 10, "REJECTED": 40}
    assert await stock_of(admin, product["id"]) == (0, 0, 10)


async def test_the_same_key_twenty_times_at_once_makes_one_order_with_the_same_bytes(
    buyer: Person, put_on_sale: Sell
) -> None:
    product = await put_on_sale(50)
    request = order_of(product["id"], requestId="the-one")

    async def place() -> bytes:
        while True:
            try:
                return (await buyer.client.answer("OrderService.CreateOrder", request)).raw
            except Refused as refused:
                if refused.reason != "IDEMPOTENT_CALL_RUNNING" or "retryDelay" not in refused.details["RetryInfo"]:
                    raise
                await asyncio.sleep(0.1)

    answers = await asyncio.gather(*(place() for _ in range(20)))

    assert len(set(answers)) == 1
    orders = await buyer.call("OrderService.ListOrders")
    assert orders["totalSize"] == 1


async def test_the_same_key_with_another_body_is_refused(buyer: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)
    await buyer.order(product["id"], requestId="k1")

    with pytest.raises(Refused) as refused:
        await buyer.order(product["id"], 2, requestId="k1")

    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("UserService.ListUsers", {}),
        ("ProductService.CreateCategory", {"category": {"name": "Mine"}}),
        ("InventoryService.AdjustStock", {"productId": uuid7(), "delta": 1}),
        ("PaymentService.ListPayments", {}),
        ("AnalyticsService.GetSummary", {}),
        ("OrderService.ShipOrder", {"id": uuid7(), "carrier": "Correos"}),
    ],
)
async def test_a_customer_may_not_do_what_administrators_do(buyer: Person, method: str, request_: Json) -> None:
    with pytest.raises(Refused) as refused:
        await buyer.call(method, request_)

    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")


async def test_somebody_elses_order_payment_and_profile_do_not_exist(
    buyer: Person, register: Register, put_on_sale: Sell
) -> None:
    product = await put_on_sale(5)
    order = await buyer.order(product["id"])
    stranger = await register()

    for method, request in (
        ("OrderService.GetOrder", {"id": order["id"]}),
        ("OrderService.CancelOrder", {"id": order["id"]}),
        ("OrderService.ListOrderEvents", {"id": order["id"]}),
        ("PaymentService.GetPayment", {"id": order["paymentId"]}),
        ("UserService.GetUser", {"id": buyer.id}),
    ):
        with pytest.raises(Refused) as refused:
            await stranger.call(method, request)
        assert refused.value.code is grpc.StatusCode.NOT_FOUND, method
        assert "productId" not in str(refused.value)
    with pytest.raises(Refused) as refused:
        await stranger.call("OrderService.ListOrders", {"userId": buyer.id})
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOURS")


async def test_missing_expired_and_forged_tokens_are_refused(
    shop: RunningShop, nobody: Client, admin: Person, tokens: Tokens
) -> None:
    pem = next((shop.home / "pki" / "tokens").glob("*.pem"))
    key = serialization.load_pem_private_key(pem.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    genuine = Tokens(key, pem.stem)
    expired = genuine.mint(admin.id, "ADMIN", exp=datetime.now(UTC) - timedelta(minutes=1))
    assert await nobody.with_token(genuine.admin(admin.id)).call("UserService.ListUsers")

    for token, reason in (
        (None, "TOKEN_MISSING"),
        (expired, "TOKEN_EXPIRED"),
        (tokens.admin(admin.id), "TOKEN_INVALID"),
        ("garbage", "TOKEN_INVALID"),
    ):
        with pytest.raises(Refused) as refused:
            await nobody.with_token(token).call("OrderService.ListOrders")
        assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)


async def test_identity_headers_from_outside_count_for_nothing(buyer: Person, admin: Person, nobody: Client) -> None:
    spoofed = {
        "x-user-id": admin.id,
        "x-role": "ADMIN",
        "x-forwarded-client-cert": "URI=spiffe://zoco.local/order",
    }

    with pytest.raises(Refused) as refused:
        await nobody.call("OrderService.ListOrders", headers=spoofed)
    assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(Refused) as refused:
        await buyer.call("UserService.ListUsers", headers=spoofed)
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert (await buyer.call("UserService.GetUser", {"id": "me"}, headers=spoofed))["id"] == buyer.id


async def test_a_spent_refresh_token_ends_its_whole_family(buyer: Person, nobody: Client) -> None:
    first = buyer.tokens["refreshToken"]
    second = (await nobody.call("AuthService.Refresh", {"refreshToken": first}))["refreshToken"]

    for token in (first, second):
        with pytest.raises(Refused) as refused:
            await nobody.call("AuthService.Refresh", {"refreshToken": token})
        assert (refused.value.code, refused.value.reason) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "REFRESH_TOKEN_INVALID",
        )


async def test_an_unknown_address_and_a_wrong_password_get_the_same_answer(buyer: Person, nobody: Client) -> None:
    answers = set()
    for email, password in ((buyer.user["email"], "not the password"), ("nobody@example.com", PASSWORD)):
        with pytest.raises(Refused) as refused:
            await nobody.call("AuthService.Login", {"email": email, "password": password})
        answers.add((refused.value.code, refused.value.reason, refused.value.message))

    assert len(answers) == 1
