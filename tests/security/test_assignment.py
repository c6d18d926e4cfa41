"""security.md, "assignment": what only the server decides is ignored or refused in a body; numbers have bounds."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from tests.journeys.conftest import PASSWORD, Person, eventually, order_of, stock_of
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Json, Refused, Rest, Transport
from tests.security.asking import code_of

Register = Callable[[], Awaitable[Person]]
Sell = Callable[[int], Awaitable[Json]]

json_only = pytest.mark.parametrize("transport", [Rest], indirect=True, ids=["REST"])
"""Fields that no message has exist in JSON only."""


async def _with_body(person: Person, verb: str, path: str, body: Json) -> tuple[int, Json]:
    transport: Any = person.client.transport
    answer = await transport._client.request(
        verb, path, json=body, headers={"authorization": f"Bearer {person.client.token}"}
    )
    return answer.status_code, answer.json()


@json_only
async def test_role_id_and_state_in_a_registration_count_for_nothing(
    nobody: Client, transport: Transport, shop: RunningShop
) -> None:
    wanted = "00000000-0000-7000-8000-000000000001"
    client = Person(nobody, {}, {})
    email = f"grasping-{shop.edge_port}-{id(client)}@example.com"
    body = {
        "email": email,
        "password": PASSWORD,
        "displayName": "Grasping",
        "id": wanted,
        "role": "ADMIN",
        "state": "DISABLED",
        "user": {"role": "ADMIN"},
    }

    status, user = await _with_body(client, "POST", "/v1/users", body)

    assert (status, user["role"], user["state"]) == (200, "CUSTOMER", "ACTIVE")
    assert user["id"] != wanted


async def test_role_state_and_email_in_an_update_of_oneself_change_nothing(buyer: Person) -> None:
    user = {"id": buyer.id, "displayName": "Still me", "role": "ADMIN", "state": "DISABLED"}
    for mask in ("role", "state", "id", "createTime", "etag", "*", "displayName,role"):
        request = {"user": user, "updateMask": mask}
        code = await code_of(buyer, "UserService.UpdateUser", request)
        assert code in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}, mask

    now = await buyer.call("UserService.GetUser", {"id": "me"})
    assert (now["role"], now["state"]) == ("CUSTOMER", "ACTIVE")


@json_only
async def test_price_total_and_state_in_an_order_count_for_nothing(buyer: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)
    cheap = {"currencyCode": "EUR", "units": "0", "nanos": 10_000_000}
    body = order_of(product["id"], 2)
    body["items"][0] |= {"unitPrice": cheap, "price": cheap, "name": "Free"}
    body |= {"totalAmount": cheap, "total": cheap, "state": "DELIVERED", "userId": "someone", "refundedAmount": cheap}

    status, order = await _with_body(buyer, "POST", "/v1/orders", body)

    assert status == 200
    assert order["totalAmount"] == {"currencyCode": "EUR", "units": "25", "nanos": 0}
    assert (order["state"], order["userId"]) == ("CONFIRMED", buyer.id)
    assert order["items"][0]["name"] == product["name"]


@json_only
async def test_a_body_can_not_contradict_the_path(buyer: Person, register: Register) -> None:
    other = await register()

    for body in ({"id": other.id, "displayName": "Owned"}, {"id": "me", "displayName": "Mine"}):
        status, _ = await _with_body(buyer, "PATCH", f"/v1/users/{buyer.id}", body)
        assert status in {200, 400, 404}
    assert (await other.call("UserService.GetUser", {"id": "me"}))["displayName"] == "A Buyer"


@pytest.mark.parametrize("quantity", [0, -1, -(2**31), 10_001, 2**31 - 1])
async def test_no_quantity_but_a_sensible_one_is_taken(buyer: Person, put_on_sale: Sell, quantity: int) -> None:
    product = await put_on_sale(5)

    with pytest.raises(Refused) as refused:
        await buyer.order(product["id"], quantity)

    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


@json_only
@pytest.mark.parametrize("quantity", ["1e3", 1.5, "NaN", 2**31, 2**63, "9" * 400, None, [1], {"x": 1}, "", "\uff10"])
async def test_a_quantity_that_is_no_number_of_pieces_is_refused(
    buyer: Person, put_on_sale: Sell, quantity: object
) -> None:
    body = order_of((await put_on_sale(5))["id"])
    body["items"][0]["quantity"] = quantity

    status, answer = await _with_body(buyer, "POST", "/v1/orders", body)

    # JSON allows 1e3 for 1000 pieces: taken as that, it is more than there are.
    assert status == 400, answer
    assert answer["code"] in {grpc.StatusCode.INVALID_ARGUMENT.value[0], grpc.StatusCode.FAILED_PRECONDITION.value[0]}


@pytest.mark.parametrize("delta", [0, 2**31 - 1, -(2**31), -6])
async def test_stock_can_not_be_adjusted_below_nothing_nor_beyond_measure(
    admin: Person, put_on_sale: Sell, delta: int
) -> None:
    product = await put_on_sale(5)

    with pytest.raises(Refused) as refused:
        await admin.call("InventoryService.AdjustStock", {"productId": product["id"], "delta": delta, "reason": "x"})

    assert refused.value.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
    assert await stock_of(admin, product["id"]) == (5, 0, 0)


@pytest.mark.parametrize(
    "amount",
    [
        {"currencyCode": "EUR", "units": "12", "nanos": 510_000_000},
        {"currencyCode": "EUR", "units": "1000000"},
        {"currencyCode": "EUR", "units": "-1"},
        {"currencyCode": "EUR", "units": "0"},
        {"currencyCode": "EUR", "units": str(2**63 - 1)},
        {"currencyCode": "EUR", "units": "1", "nanos": -10_000_000},
        {"currencyCode": "USD", "units": "1"},
        {"currencyCode": "", "units": "1"},
        {"currencyCode": "EUR", "units": "1", "nanos": 1},
    ],
    ids=lambda amount: "/".join(map(str, amount.values())),
)
async def test_no_refund_above_what_was_captured_nor_of_another_currency(
    buyer: Person, admin: Person, put_on_sale: Sell, amount: Json
) -> None:
    order = await buyer.order((await put_on_sale(5))["id"])

    with pytest.raises(Refused) as refused:
        await admin.call("OrderService.RefundOrder", {"id": order["id"], "amount": amount, "reason": "x"})

    assert refused.value.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
    now = await buyer.call("OrderService.GetOrder", {"id": order["id"]})
    assert int(now["refundedAmount"].get("units", 0)) == 0


async def test_refunds_add_up_to_what_was_captured_and_no_further(
    buyer: Person, admin: Person, put_on_sale: Sell
) -> None:
    order = await buyer.order((await put_on_sale(5))["id"])
    part = {"currencyCode": "EUR", "units": "7"}
    await admin.call("OrderService.RefundOrder", {"id": order["id"], "amount": part, "reason": "half"})

    again = {"id": order["id"], "amount": part, "reason": "half again"}
    with pytest.raises(Refused) as refused:
        await admin.call("OrderService.RefundOrder", again)

    assert refused.value.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}


async def test_two_currencies_can_not_meet_in_one_order(admin: Person) -> None:
    categories = (await admin.call("ProductService.ListCategories"))["categories"]
    dollars = {
        "name": "Imported teapot",
        "price": {"currencyCode": "USD", "units": "9"},
        "categoryId": categories[0]["id"],
    }

    with pytest.raises(Refused) as refused:
        await admin.call("ProductService.CreateProduct", {"product": dollars, "initialStock": 5})

    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH")


async def test_an_order_cancelled_twice_is_paid_back_once(buyer: Person, admin: Person, put_on_sale: Sell) -> None:
    product = await put_on_sale(5)
    order = await buyer.order(product["id"], 2)
    for _ in range(2):
        await buyer.call("OrderService.CancelOrder", {"id": order["id"], "reason": "twice"})

    async def is_undone() -> bool:
        payment = await buyer.call("PaymentService.GetPayment", {"id": order["paymentId"]})
        return bool(payment["refundedAmount"] == order["totalAmount"])

    await eventually(is_undone, "refund")
    await buyer.call("OrderService.CancelOrder", {"id": order["id"], "reason": "a third time"})
    payment = await buyer.call("PaymentService.GetPayment", {"id": order["paymentId"]})
    assert payment["refundedAmount"] == order["totalAmount"]
    assert await stock_of(admin, product["id"]) == (5, 0, 0)
