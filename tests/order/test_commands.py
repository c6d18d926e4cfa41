"""What can be done with an order once it is placed: call it off, give money back, ship it, deliver it."""

import asyncio
from collections import Counter

import grpc
import pytest

from mesh.errors import FailedPrecondition, NotFound, Unavailable, from_rpc_error
from mesh.money import Money
from mesh.wire import money_to_proto
from tests.fixtures.servers import until
from tests.harness import refused
from tests.order.conftest import Shop, State
from tests.order.neighbours import AWAY
from zoco.order.v1 import order_service_pb2 as service

pytestmark = pytest.mark.asyncio(loop_scope="module")


def euros(amount: str) -> Money:
    return Money.from_decimal("EUR", amount)


async def test_a_cancelled_order_gives_money_and_stock_back(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 2))
    cancelled = await buyer.cancel(order.id, "too much tea")

    assert cancelled.state == State.CANCELLED
    assert cancelled.cancel_reason == "too much tea"
    assert cancelled.refunded_amount == order.total_amount
    assert shop.inventory.available[shop.tea] == 10
    assert shop.payment.accounts[order.id].refunds == {f"{order.id}:refund:1": euros("9.00")}
    assert (await buyer.trail(order.id))[-5:] == [
        "CancellationRequested",
        "RefundRequested",
        "RefundMade",
        "StockReleased",
        "OrderCancelled",
    ]


async def test_cancelling_again_is_the_same(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    first, second = await asyncio.gather(buyer.cancel(order.id), buyer.cancel(order.id))
    assert first == second == await buyer.cancel(order.id, "another reason")
    assert shop.payment.calls["Refund"] == 1


@pytest.mark.parametrize("effect", [False, True], ids=["before the money moved", "after it moved"])
async def test_a_cancel_that_races_the_capture_ends_in_a_refund(shop: Shop, effect: bool) -> None:
    gate = shop.payment.stop_at("Capture", effect=effect)
    buyer = shop.customer()
    creating = asyncio.create_task(buyer.create((shop.tea, 1)))
    await gate.reached.wait()
    [row] = await shop.rows("SELECT id::text FROM orders")
    cancelling = asyncio.create_task(buyer.cancel(row.id))
    await until(lambda: shop.rows("SELECT 1 FROM orders WHERE cancel_reason <> ''"))
    gate.opened.set()

    order = await buyer.settled(row.id, State.CANCELLED)
    await asyncio.gather(creating, cancelling)
    assert order.refunded_amount == order.total_amount
    assert shop.payment.charges == {order.id: 1}
    assert shop.payment.accounts[order.id].refunded == euros("4.50")
    assert shop.inventory.available[shop.tea] == 10
    assert shop.payment.voids == set()


async def test_a_cancel_before_the_capture_takes_no_money(shop: Shop) -> None:
    gate = shop.payment.stop_at("Authorize", effect=True)
    buyer = shop.customer()
    creating = asyncio.create_task(buyer.create((shop.tea, 1)))
    await gate.reached.wait()
    [row] = await shop.rows("SELECT id::text FROM orders")
    order = await buyer.cancel(row.id)
    gate.opened.set()

    assert order.state == State.CANCELLED
    assert order.refunded_amount.units == 0
    assert (await creating).state == State.CANCELLED
    assert shop.payment.charges == {}
    assert shop.payment.accounts[order.id].state == "VOIDED"
    assert shop.inventory.available[shop.tea] == 10


async def test_a_cancel_that_overtakes_the_reservation_holds_nothing(shop: Shop) -> None:
    gate = shop.inventory.stop_at("ReserveStock", effect=False)
    buyer = shop.customer()
    creating = asyncio.create_task(buyer.create((shop.tea, 1)))
    await gate.reached.wait()
    [row] = await shop.rows("SELECT id::text FROM orders")
    order = await buyer.cancel(row.id)
    gate.opened.set()

    assert (await creating) == order
    assert order.state == State.CANCELLED
    assert shop.inventory.available[shop.tea] == 10
    assert await buyer.trail(order.id) == ["OrderPlaced", "CancellationRequested", "StockReleased", "OrderCancelled"]
    assert await shop.rows("SELECT 1 FROM saga") == []


async def test_a_cancel_while_payment_is_away_is_kept_and_carried_out(neighbourhood: Shop) -> None:
    shop = neighbourhood
    async with shop.open(ZOCO_ORDER_ANSWER_WITHIN=0.2):
        buyer = shop.customer()
        order = await buyer.create((shop.tea, 1))
        await buyer.settled(order.id, State.CONFIRMED)
        shop.payment.disturb("Refund", always=AWAY)
        standing = await buyer.cancel(order.id)
        assert (standing.state, standing.cancel_reason) == (State.CONFIRMED, "changed my mind")
        assert (await refused(shop.admin().ship(order.id))).reason == "STATE_CONFLICT"
        shop.payment.disturb("Refund")
        await buyer.settled(order.id, State.CANCELLED)
        assert shop.payment.accounts[order.id].refunded == euros("4.50")


async def test_what_was_shipped_or_rejected_cannot_be_called_off(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    shipped = await buyer.create((shop.tea, 1))
    await admin.ship(shipped.id)
    error = await refused(buyer.cancel(shipped.id))
    assert (error.reason, error.metadata["state"]) == ("STATE_CONFLICT", "SHIPPED")
    await admin.deliver(shipped.id)
    assert (await refused(buyer.cancel(shipped.id))).metadata["state"] == "DELIVERED"
    rejected = (await refused(buyer.create((shop.tea, 1), card="tok_declined"))).metadata["order_id"]
    assert (await refused(buyer.cancel(rejected))).metadata["state"] == "REJECTED"


async def test_an_order_is_shipped_and_delivered_once(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.tea, 1))
    assert (await refused(admin.deliver(order.id))).reason == "STATE_CONFLICT"
    shipped = await admin.ship(order.id)
    assert (shipped.state, shipped.shipment.carrier, shipped.shipment.tracking_number) == (State.SHIPPED, "DHL", "42")
    assert await admin.ship(order.id) == shipped
    assert (await refused(admin.ship(order.id, "UPS"))).reason == "STATE_CONFLICT"
    delivered = await admin.deliver(order.id)
    assert delivered.state == State.DELIVERED
    assert await admin.deliver(order.id) == delivered
    assert await admin.ship(order.id) == delivered


async def test_customers_neither_ship_nor_deliver_nor_refund(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    for call in (buyer.ship(order.id), buyer.deliver(order.id), buyer.refund(order.id)):
        assert (await refused(call)).reason == "ROLE_REQUIRED"


async def test_money_is_given_back_in_parts_up_to_what_was_taken(shop: Shop) -> None:
    admin = shop.admin()
    order = await shop.customer().create((shop.cup, 1))
    first = await admin.refund(order.id, euros("5.00"))
    assert first.refunded_amount == money_to_proto(euros("5.00"))
    error = await refused(admin.refund(order.id, euros("7.01")))
    assert (error.reason, error.metadata) == ("REFUND_EXCEEDS_CAPTURED", {"refundable": "7.00 EUR"})
    rest = await admin.refund(order.id)
    assert rest.refunded_amount == order.total_amount
    assert (await refused(admin.refund(order.id))).reason == "REFUND_EXCEEDS_CAPTURED"
    assert rest.state == State.CONFIRMED
    assert shop.payment.accounts[order.id].refunds == {
        f"{order.id}:refund:1": euros("5.00"),
        f"{order.id}:refund:2": euros("7.00"),
    }


async def test_refunds_at_once_never_give_back_more_than_was_taken(shop: Shop) -> None:
    admin = shop.admin()
    order = await shop.customer().create((shop.cup, 1))

    async def refund() -> str:
        try:
            await admin.refund(order.id, euros("5.00"))
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error).reason
        return "made"

    outcomes = await asyncio.gather(*(refund() for _ in range(10)))
    await shop.at_rest()
    assert Counter(outcomes) == {"made": 2, "REFUND_EXCEEDS_CAPTURED": 8}
    assert shop.payment.accounts[order.id].refunded == euros("10.00")


async def test_a_refund_whose_answer_got_lost_is_made_once(shop: Shop) -> None:
    admin = shop.admin()
    order = await shop.customer().create((shop.cup, 1))
    shop.payment.disturb("Refund", after=[Unavailable("DEPENDENCY_UNAVAILABLE", "lost")] * 4)
    await admin.refund(order.id, euros("5.00"))
    await shop.at_rest()
    assert shop.payment.accounts[order.id].refunds == {f"{order.id}:refund:1": euros("5.00")}
    assert (await admin.get(order.id)).refunded_amount == money_to_proto(euros("5.00"))


async def test_a_refund_that_payment_refuses_can_be_asked_for_again(shop: Shop) -> None:
    admin = shop.admin()
    order = await shop.customer().create((shop.cup, 1))
    shop.payment.disturb("Refund", always=FailedPrecondition("STATE_CONFLICT", "disputed"))
    error = await refused(admin.refund(order.id))
    assert (error.reason, error.metadata) == ("REFUND_EXCEEDS_CAPTURED", {"refundable": "12.00 EUR"})
    shop.payment.disturb("Refund")
    assert (await admin.refund(order.id)).refunded_amount == order.total_amount


async def test_a_refund_needs_something_to_give_back(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    rejected = (await refused(buyer.create((shop.tea, 1), card="tok_declined"))).metadata["order_id"]
    assert (await refused(admin.refund(rejected))).reason == "STATE_CONFLICT"
    cancelled = await buyer.create((shop.tea, 1))
    await buyer.cancel(cancelled.id)
    assert (await refused(admin.refund(cancelled.id))).reason == "REFUND_EXCEEDS_CAPTURED"


async def test_the_amount_of_a_refund_is_checked(shop: Shop) -> None:
    admin = shop.admin()
    order = await shop.customer().create((shop.cup, 1))
    for amount in (euros("0.00"), euros("-1.00")):
        error = await refused(admin.refund(order.id, amount))
        assert (error.reason, error.field_violations[0].field) == ("INVALID_FIELD", "amount")
    assert (await refused(admin.refund(order.id, Money("USD", 100)))).reason == "CURRENCY_MISMATCH"


async def test_a_cancel_after_a_partial_refund_gives_the_rest_back(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.cup, 1))
    await admin.refund(order.id, euros("5.00"))
    cancelled = await buyer.cancel(order.id)
    assert (cancelled.state, cancelled.refunded_amount) == (State.CANCELLED, order.total_amount)
    assert shop.payment.accounts[order.id].refunded == euros("12.00")


async def test_nobody_else_s_order_exists(shop: Shop) -> None:
    order = await shop.customer().create((shop.tea, 1))
    other = shop.customer()
    for call in (
        other.get(order.id),
        other.cancel(order.id),
        other.stub.ListOrderEvents(service.ListOrderEventsRequest(id=order.id)),
        shop.admin().ship("0192f0c1-0000-7000-8000-0000000000ff"),
    ):
        error = await refused(call)
        assert isinstance(error, NotFound)
        assert "Sevilla" not in str(error)


async def test_a_text_that_no_column_can_hold_is_refused(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.tea, 1))
    for call, field in (
        (buyer.cancel(order.id, "a\0b"), "reason"),
        (admin.refund(order.id, reason="a\0b"), "reason"),
        (admin.ship(order.id, "a\0b"), "carrier"),
        (admin.ship(order.id, "DHL", "a\0b"), "tracking_number"),
    ):
        error = await refused(call)
        assert (error.reason, error.field_violations[0].field) == ("INVALID_FIELD", field)
