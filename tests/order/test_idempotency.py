"""One key, one order, one answer, byte for byte."""

import asyncio
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message

from mesh.errors import Aborted, InvalidArgument, from_rpc_error
from mesh.ids import uuid7
from mesh.money import Money
from mesh.wire import money_to_proto
from tests.fixtures.servers import until
from tests.harness import refused
from tests.order.conftest import ADDRESS, Shop, State
from zoco.order.v1 import order_pb2
from zoco.order.v1 import order_service_pb2 as service
from zoco.product.v1 import product_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")


SERVICE: Final = "/zoco.order.v1.OrderService/"


def raw(shop: Shop, token: str, method: str) -> Any:
    """A method that answers with the very bytes: of the response, or of the error's details."""
    channel = shop.order.channel("edge", token)
    call: Any = channel.unary_unary(SERVICE + method, request_serializer=lambda message: message.SerializeToString())

    async def bytes_of(request: Message, key: str) -> bytes:
        try:
            answer: bytes = await call(request, metadata=(("idempotency-key", key),))
        except grpc.aio.AioRpcError as error:
            if isinstance(from_rpc_error(error), Aborted):
                await asyncio.sleep(0.05)
                return await bytes_of(request, key)
            details: bytes = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
            return details
        return answer

    return bytes_of


def tea(shop: Shop, quantity: int = 1, card: str = "tok_visa") -> service.CreateOrderRequest:
    items = [service.LineItem(product_id=shop.tea, quantity=quantity)]
    return service.CreateOrderRequest(items=items, payment_token=card, shipping_address=ADDRESS)


async def test_the_same_key_twenty_times_at_once_is_one_order(shop: Shop) -> None:
    create = raw(shop, shop.tokens.customer(), "CreateOrder")
    answers = await asyncio.gather(*(create(tea(shop), "k1") for _ in range(20)))
    assert len(set(answers)) == 1
    assert order_pb2.Order.FromString(answers[0]).state == State.CONFIRMED
    assert len(shop.payment.charges) == 1
    assert [row.n for row in await shop.rows("SELECT count(*) AS n FROM orders")] == [1]


async def test_a_rejection_is_repeated_as_it_was(shop: Shop) -> None:
    create = raw(shop, shop.tokens.customer(), "CreateOrder")
    for key, request in (("k1", tea(shop, card="tok_declined")), ("k2", tea(shop, quantity=11))):
        first = await create(request, key)
        shop.inventory.available[shop.tea] = 100
        assert await create(request, key) == first


async def test_a_refusal_before_anything_was_placed_is_repeated_as_it_was(shop: Shop) -> None:
    create = raw(shop, shop.tokens.customer(), "CreateOrder")
    shop.product.products[shop.tea].state = product_pb2.Product.ARCHIVED
    first = await create(tea(shop), "k1")
    shop.product.products[shop.tea].state = product_pb2.Product.ACTIVE
    assert await create(tea(shop), "k1") == first
    assert order_pb2.Order.FromString(await create(tea(shop), "k2")).state == State.CONFIRMED


async def test_a_refusal_that_comes_late_does_not_take_the_place_of_an_order(shop: Shop) -> None:
    create = raw(shop, shop.tokens.customer(), "CreateOrder")
    gate = shop.product.stop_at("BatchGetProducts", effect=False)
    late = asyncio.create_task(create(tea(shop), "k1"))
    await gate.reached.wait()
    placed = await create(tea(shop), "k1")
    shop.product.products[shop.tea].state = product_pb2.Product.ARCHIVED
    gate.opened.set()
    assert await late == placed
    assert order_pb2.Order.FromString(placed).state == State.CONFIRMED


async def test_a_pending_answer_stays_the_answer(neighbourhood: Shop) -> None:
    shop = neighbourhood
    async with shop.open(ZOCO_ORDER_ANSWER_WITHIN=0.2):
        user_id = uuid7()
        create = raw(shop, shop.tokens.customer(user_id), "CreateOrder")
        first = await create(tea(shop, card="tok_slow"), "k1")
        pending = order_pb2.Order.FromString(first)
        assert pending.state == State.PENDING
        shop.payment.slow.set()
        await shop.customer(user_id).settled(pending.id, State.CONFIRMED)
        assert await create(tea(shop, card="tok_slow"), "k1") == first


async def test_while_the_first_call_runs_a_repeat_is_told_to_wait(shop: Shop) -> None:
    gate = shop.payment.stop_at("Authorize", effect=True)
    buyer = shop.customer()
    first = asyncio.create_task(buyer.create((shop.tea, 1), key="k1"))
    await gate.reached.wait()
    error = await refused(buyer.create((shop.tea, 1), key="k1"))
    assert (error.reason, error.retry_after is not None) == ("IDEMPOTENT_CALL_RUNNING", True)
    gate.opened.set()
    assert (await first).state == State.CONFIRMED


async def test_a_key_stands_for_one_request(shop: Shop) -> None:
    buyer = shop.customer()
    await buyer.create((shop.tea, 1), key="k1")
    error = await refused(buyer.create((shop.tea, 2), key="k1"))
    assert isinstance(error, InvalidArgument)
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_key_is_its_user_s_own(shop: Shop) -> None:
    one, other = await asyncio.gather(
        shop.customer().create((shop.tea, 1), key="k1"), shop.customer().create((shop.tea, 1), key="k1")
    )
    assert one.id != other.id


async def test_without_a_key_each_call_is_an_order(shop: Shop) -> None:
    buyer = shop.customer()
    assert (await buyer.create((shop.tea, 1))).id != (await buyer.create((shop.tea, 1))).id


async def test_a_repeat_after_a_crash_answers_for_the_order_that_was_placed(neighbourhood: Shop) -> None:
    shop = neighbourhood
    user_id = uuid7()
    async with shop.open(ZOCO_GRACE_SECONDS=0):
        gate = shop.payment.stop_at("Authorize", effect=True)
        first = asyncio.create_task(shop.customer(user_id).create((shop.tea, 1), key="k1"))
        await gate.reached.wait()
        await shop.change("UPDATE idempotency SET lease_until = now()")
    await asyncio.gather(first, return_exceptions=True)
    async with shop.open():
        order = await shop.customer(user_id).create((shop.tea, 1), key="k1")
        assert [row.id for row in await shop.rows("SELECT id::text AS id FROM orders")] == [order.id]
        assert (await shop.customer(user_id).settled(order.id, State.CONFIRMED)).id == order.id
        assert shop.payment.charges == {order.id: 1}
        assert await shop.customer(user_id).create((shop.tea, 1), key="k1") == order


async def test_a_refund_is_made_once_a_key(shop: Shop) -> None:
    order = await shop.customer().create((shop.cup, 1))
    refund = raw(shop, shop.tokens.admin(), "RefundOrder")
    request = service.RefundOrderRequest(id=order.id, amount=money_to_proto(Money("EUR", 500)))
    answers = await asyncio.gather(*(refund(request, "k1") for _ in range(20)))
    assert len(set(answers)) == 1
    assert shop.payment.accounts[order.id].refunded == Money("EUR", 500)
    beyond = service.RefundOrderRequest(id=order.id, amount=money_to_proto(Money("EUR", 900)))
    first = await refund(beyond, "k2")
    assert await refund(beyond, "k2") == first


async def test_a_refund_asked_for_before_a_crash_is_made_and_answered_after_it(neighbourhood: Shop) -> None:
    shop = neighbourhood
    admin = shop.tokens.admin(uuid7())
    request: dict[str, Any] = {"amount": money_to_proto(Money("EUR", 500))}
    async with shop.open(ZOCO_GRACE_SECONDS=0):
        order = await shop.customer().create((shop.cup, 1))
        gate = shop.payment.stop_at("Refund", effect=True)
        refund = raw(shop, admin, "RefundOrder")
        first = asyncio.create_task(refund(service.RefundOrderRequest(id=order.id, **request), "k1"))
        await gate.reached.wait()
        await shop.change("UPDATE idempotency SET lease_until = now() WHERE status IS NULL")
    await asyncio.gather(first, return_exceptions=True)
    async with shop.open():
        await shop.at_rest()
        answer = await raw(shop, admin, "RefundOrder")(service.RefundOrderRequest(id=order.id, **request), "k1")
        assert order_pb2.Order.FromString(answer).refunded_amount == request["amount"]
        await until(lambda: shop.payment.accounts[order.id].refunds == {f"{order.id}:refund:1": Money("EUR", 500)})
