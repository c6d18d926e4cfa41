"""security.md, "objects": what belongs to somebody else does not exist, and nothing of it is shown."""

import json
from collections.abc import Awaitable, Callable

import grpc
import pytest

from tests.journeys.conftest import PASSWORD, Person, eventually, order_of
from tests.journeys.transports import Json, Refused

Register = Callable[[], Awaitable[Person]]
Sell = Callable[[int], Awaitable[Json]]


@pytest.fixture
async def victim(register: Register) -> Person:
    return await register()


@pytest.fixture
async def order(victim: Person, put_on_sale: Sell) -> Json:
    return await victim.order((await put_on_sale(9))["id"], card="tok_visa")


async def _notification(person: Person) -> Json:
    """The person's newest notification; waits for the first."""

    async def has_come() -> bool:
        return bool((await person.call("NotificationService.ListNotifications"))["notifications"])

    await eventually(has_come, "notification")
    listed: list[Json] = (await person.call("NotificationService.ListNotifications"))["notifications"]
    return listed[0]


async def test_another_users_order_is_not_found(buyer: Person, order: Json) -> None:
    for method, request in (
        ("OrderService.GetOrder", {"id": order["id"]}),
        ("OrderService.GetOrder", {"id": order["id"].upper()}),
        ("OrderService.CancelOrder", {"id": order["id"], "reason": "mine now"}),
        ("OrderService.ListOrderEvents", {"id": order["id"]}),
    ):
        await _is_not_found(buyer, method, request, order)


async def test_another_users_order_can_not_be_watched(buyer: Person, order: Json) -> None:
    async with buyer.client.watch("OrderService.WatchOrder", {"id": order["id"]}) as stream:
        with pytest.raises(Refused) as refused:
            await anext(stream)

    assert refused.value.code is grpc.StatusCode.NOT_FOUND


async def test_another_users_payment_is_not_found(buyer: Person, order: Json) -> None:
    await _is_not_found(buyer, "PaymentService.GetPayment", {"id": order["paymentId"]}, order)


async def test_another_users_notification_is_not_found(buyer: Person, victim: Person, order: Json) -> None:
    theirs = await _notification(victim)

    await _is_not_found(buyer, "NotificationService.MarkRead", {"id": theirs["id"]}, theirs)

    mine = await buyer.call("NotificationService.ListNotifications", {"pageSize": 100})
    assert theirs["id"] not in json.dumps(mine)


@pytest.mark.parametrize("spelling", [str, str.upper])
async def test_another_users_profile_is_not_found(
    buyer: Person, victim: Person, spelling: Callable[[str], str]
) -> None:
    theirs = spelling(victim.id)
    for method, request in (
        ("UserService.GetUser", {"id": theirs}),
        ("UserService.UpdateUser", {"user": {"id": theirs, "displayName": "Owned"}}),
        (
            "UserService.ChangePassword",
            {"id": theirs, "currentPassword": PASSWORD, "newPassword": "another good password"},
        ),
        ("UserService.DeleteUser", {"id": theirs}),
    ):
        await _is_not_found(buyer, method, request, victim.user)
    assert (await victim.call("UserService.GetUser", {"id": "me"}))["displayName"] == "A Buyer"


async def test_another_users_idempotency_key_gives_nothing_of_theirs(
    buyer: Person, victim: Person, put_on_sale: Sell
) -> None:
    product = await put_on_sale(9)
    request = order_of(product["id"], requestId="the same for both")
    theirs = await victim.call("OrderService.CreateOrder", request)

    mine = await buyer.call("OrderService.CreateOrder", request)

    assert mine["id"] != theirs["id"]
    assert mine["userId"] == buyer.id


async def test_a_list_holds_ones_own_only_and_a_filter_by_somebody_else_is_denied(
    buyer: Person, victim: Person, order: Json
) -> None:
    assert (await buyer.call("OrderService.ListOrders"))["orders"] == []

    with pytest.raises(Refused) as refused:
        await buyer.call("OrderService.ListOrders", {"userId": victim.id})

    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOURS")
    assert order["id"] not in str(refused.value)


async def test_another_users_page_token_shows_nothing_of_theirs(
    buyer: Person, victim: Person, put_on_sale: Sell
) -> None:
    product = await put_on_sale(9)
    for _ in range(2):
        await victim.order(product["id"])
    first = await victim.call("OrderService.ListOrders", {"pageSize": 1})
    assert first["nextPageToken"]

    page = await buyer.call("OrderService.ListOrders", {"pageSize": 1, "pageToken": first["nextPageToken"]})

    assert (page["orders"], page["totalSize"]) == ([], 0)


async def _is_not_found(person: Person, method: str, request: Json, secret: Json) -> None:
    with pytest.raises(Refused) as refused:
        await person.call(method, request)
    assert refused.value.code is grpc.StatusCode.NOT_FOUND, method
    shown = json.dumps(refused.value.details) + refused.value.message
    told = {secret.get(name) for name in ("userId", "email", "paymentId", "title", "body", "displayName")}
    asked = json.dumps(request)
    assert not [each for each in told if each and each in shown and each not in asked], method
