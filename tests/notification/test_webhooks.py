"""From events through the broker to receivers outside: signed, again and again until they have it, and not for ever."""

import asyncio
import json
from datetime import timedelta

import pytest
from google.type.money_pb2 import Money
from standardwebhooks import WebhookVerificationError

from mesh.errors import FailedPrecondition, NotFound
from mesh.ids import uuid7
from services.notification.webhooks import leases
from services.notification.webhooks.deliverer import AT_ONCE_EACH
from tests.harness import refused
from tests.notification.administrator import State, hooked
from tests.notification.conftest import Desk, now
from tests.notification.receiver import answer
from zoco.notification.v1.webhook_pb2 import Webhook
from zoco.order.v1 import order_events_pb2 as events
from zoco.order.v1 import order_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILURE = answer(500)


async def test_an_order_event_arrives_signed_as_rest_would_show_it(eager: Desk) -> None:
    async with hooked(eager) as hook:
        buyer = uuid7()
        order_id = await eager.neighbours.confirm(buyer, version=6)
        delivery = await hook.settled(order_id)

    [request] = hook.receiver.requests
    content = request.verified(hook.webhook.secret)
    assert content["type"] == "order.confirmed"
    assert content["orderVersion"] == 6
    assert content["data"]["orderId"] == order_id
    assert content["data"]["userId"] == buyer
    assert content["data"]["totalAmount"] == {"currencyCode": "EUR", "units": "25", "nanos": 500000000}
    [item] = content["data"]["items"]
    assert (item["name"], item["quantity"]) == ("Mug", 2)
    assert content["timestamp"].endswith("Z")
    assert request.id == delivery.event_id
    assert (delivery.state, delivery.attempts, delivery.response_status) == (State.DELIVERED, 1, 204)
    assert (delivery.event_type, delivery.order_version, delivery.error) == ("order.confirmed", 6, "")
    assert delivery.HasField("deliver_time")
    assert not delivery.HasField("next_attempt_time")


async def test_every_kind_of_order_event_arrives(eager: Desk) -> None:
    order_id, user_id = uuid7(), uuid7()
    money = Money(currency_code="EUR", units=5)
    told = {
        "order.placed": events.OrderPlaced(order_id=order_id, user_id=user_id, total_amount=money, place_time=now()),
        "order.confirmed": events.OrderConfirmed(order_id=order_id, user_id=user_id, total_amount=money),
        "order.rejected": events.OrderRejected(
            order_id=order_id, user_id=user_id, rejection=order_pb2.Rejection(reason="PAYMENT_DECLINED")
        ),
        "order.cancelled": events.OrderCancelled(order_id=order_id, user_id=user_id, reason="changed my mind"),
        "order.shipped": events.OrderShipped(order_id=order_id, user_id=user_id),
        "order.delivered": events.OrderDelivered(order_id=order_id, user_id=user_id, deliver_time=now()),
        "order.refunded": events.OrderRefunded(order_id=order_id, user_id=user_id, amount=money, refunded_amount=money),
    }
    async with hooked(eager) as hook:
        for version, event in enumerate(told.values(), start=1):
            await eager.neighbours.publish(event, aggregate_id=order_id, version=version)
        await hook.got(len(told))

    came = [request.verified(hook.webhook.secret) for request in hook.receiver.requests]
    in_order = sorted(came, key=lambda each: int(each["orderVersion"]))
    assert [each["type"] for each in in_order] == list(told), "the order's version says what came first"


async def test_a_webhook_hears_only_what_it_asked_for(eager: Desk) -> None:
    async with hooked(eager, event_types=["order.shipped"]) as hook, hooked(eager) as everything:
        order_id = await eager.neighbours.confirm(uuid7())
        shipped = events.OrderShipped(order_id=order_id, user_id=uuid7())
        await eager.neighbours.publish(shipped, aggregate_id=order_id, version=7)
        await everything.got(2)
        await hook.got(1)

    [request] = hook.receiver.requests
    assert json.loads(request.body)["type"] == "order.shipped"


async def test_an_event_that_the_broker_tells_twice_is_one_delivery(eager: Desk) -> None:
    async with hooked(eager) as hook:
        event_id = uuid7()
        order_id = await eager.neighbours.confirm(uuid7(), event_id=event_id)
        await hook.settled(order_id)
        await eager.neighbours.confirm(uuid7(), order_id, event_id=event_id)
        later = await eager.neighbours.confirm(uuid7())
        await hook.settled(later)

        assert len(await hook.keeper.log(hook.id)) == 2
    assert hook.receiver.ids.count(event_id) == 1


async def test_what_failed_comes_again_with_the_same_id_and_the_same_bytes(eager: Desk) -> None:
    async with hooked(eager) as hook:
        hook.receiver.answers = [FAILURE, answer(404), answer(302, "location: http://127.0.0.1:1/")]
        order_id = await eager.neighbours.confirm(uuid7())
        delivery = await hook.settled(order_id)
        webhook = await hook.keeper.get(hook.id)

    assert (delivery.state, delivery.attempts, delivery.response_status) == (State.DELIVERED, 4, 204)
    assert len(hook.receiver.requests) == 4
    assert {request.id for request in hook.receiver.requests} == {delivery.event_id}
    assert len({request.body for request in hook.receiver.requests}) == 1
    assert not webhook.HasField("failing_since_time")
    for request in hook.receiver.requests:
        assert request.verified(hook.webhook.secret)


async def test_while_it_fails_the_log_says_why_and_when_next(eager: Desk) -> None:
    async with hooked(eager) as hook:
        hook.receiver.usual = answer(503, "retry-after: 60")
        order_id = await eager.neighbours.confirm(uuid7())
        delivery = await hook.delivery(order_id, lambda each: bool(each.error))
        webhook = await hook.keeper.get(hook.id)

    assert (delivery.state, delivery.error, delivery.response_status) == (State.WAITING, "answered 503", 503)
    pause = delivery.next_attempt_time.ToDatetime() - delivery.attempt_time.ToDatetime()
    assert timedelta(seconds=55) < pause < timedelta(seconds=65), "as the receiver wished"
    assert webhook.enabled
    assert webhook.HasField("failing_since_time")


async def test_one_that_answers_410_is_disabled_and_what_waits_goes_out_once_it_is_enabled(eager: Desk) -> None:
    async with hooked(eager) as hook:
        hook.receiver.answers = [answer(410)]
        order_id = await eager.neighbours.confirm(uuid7())
        webhook = await hook.became(lambda each: not each.enabled)
        unheard = await eager.neighbours.confirm(uuid7())
        async with hooked(eager) as other:
            await other.settled(await eager.neighbours.confirm(uuid7()))
        [waiting] = await hook.keeper.log(hook.id)

        assert webhook.disable_reason == Webhook.GONE
        assert webhook.HasField("disable_time")
        assert waiting.state == State.WAITING
        assert len(hook.receiver.requests) == 1

        enabled = await hook.keeper.update(hook.id, enabled=True, etag=webhook.etag)
        delivery = await hook.settled(order_id)

        assert enabled.enabled
        assert not enabled.disable_reason
        assert not enabled.HasField("disable_time")
        assert delivery.state == State.DELIVERED
        assert unheard not in {each.order_id for each in await hook.keeper.log(hook.id)}


async def test_one_through_which_nothing_got_for_a_day_is_disabled(eager: Desk) -> None:
    async with hooked(eager) as hook:
        hook.receiver.usual = FAILURE
        order_id = await eager.neighbours.confirm(uuid7())
        await hook.delivery(order_id, lambda each: bool(each.error))
        assert (await hook.keeper.get(hook.id)).enabled

        await hook.grow_older(24)
        webhook = await hook.became(lambda each: not each.enabled)
        [delivery] = await hook.keeper.log(hook.id)

        assert webhook.disable_reason == Webhook.FAILING
        assert delivery.state == State.WAITING, "it goes out once the webhook is enabled"
        assert metric(eager, "webhooks_disabled_total", reason="FAILING") >= 1

        hook.receiver.usual = answer(200)
        await hook.keeper.update(hook.id, enabled=True)
        assert (await hook.settled(order_id)).state == State.DELIVERED


async def test_one_delivery_that_is_refused_for_a_day_fails_alone_and_can_be_sent_again(eager: Desk) -> None:
    async with hooked(eager) as hook:
        order_id = uuid7()
        hook.receiver.refused = {order_id}
        await eager.neighbours.confirm(uuid7(), order_id)
        await hook.settled_in_vain(order_id)
        for _ in range(3):
            other = await hook.settled(await eager.neighbours.confirm(uuid7()))
            assert other.state == State.DELIVERED, "one that is refused keeps no other back"
        await hook.grow_older(24, webhook=False)
        failed = await hook.settled(order_id)

        assert (failed.state, failed.error) == (State.FAILED, "answered 422")
        assert not failed.HasField("next_attempt_time")
        assert (await hook.keeper.get(hook.id)).enabled
        assert [each.id for each in await hook.keeper.log(hook.id, state=State.FAILED)] == [failed.id]

        hook.receiver.refused = set()
        assert (await hook.keeper.redeliver(failed)).state == State.WAITING
        assert (await hook.settled(order_id)).state == State.DELIVERED
    assert hook.receiver.ids[-1] == failed.event_id


async def test_a_delivery_that_arrived_can_be_sent_again_with_the_same_id(eager: Desk) -> None:
    async with hooked(eager) as hook:
        order_id = await eager.neighbours.confirm(uuid7())
        delivery = await hook.settled(order_id)

        await hook.keeper.redeliver(delivery)
        again = await hook.delivery(order_id, lambda each: each.attempts == 2 and each.state == State.DELIVERED)

    first, second = hook.receiver.requests
    assert first.id == second.id == again.event_id
    assert first.body == second.body
    assert second.verified(hook.webhook.secret)


async def test_what_is_disabled_or_not_there_cannot_be_sent_again(eager: Desk) -> None:
    async with hooked(eager) as hook, hooked(eager) as other:
        delivery = await hook.settled(await eager.neighbours.confirm(uuid7()))
        foreign = type(delivery)(webhook_id=other.id, id=delivery.id)
        missing = type(delivery)(webhook_id=hook.id, id=uuid7())
        for each in (foreign, missing):
            assert isinstance(await refused(hook.keeper.redeliver(each)), NotFound)

        await hook.keeper.update(hook.id, enabled=False)
        error = await refused(hook.keeper.redeliver(delivery))

    assert isinstance(error, FailedPrecondition)
    assert (error.reason, error.metadata) == ("STATE_CONFLICT", {"state": "DISABLED"})


async def test_what_fails_is_asked_one_request_at_a_time_and_keeps_no_other_back(eager: Desk) -> None:
    async with hooked(eager) as failing, hooked(eager) as slow, hooked(eager) as well:
        failing.receiver.usual = FAILURE
        slow.receiver.silent = True
        await failing.settled_in_vain(await eager.neighbours.confirm(uuid7()))
        failing.receiver.together, failing.receiver.silent = 0, True
        sent = len(failing.receiver.requests)
        orders = [await eager.neighbours.confirm(uuid7()) for _ in range(30)]
        await asyncio.gather(*(well.settled(order_id) for order_id in orders))

        await failing.got(sent + 3)

        assert failing.receiver.together <= 1
        assert slow.receiver.together < 2 * AT_ONCE_EACH
        assert len(await failing.keeper.log(failing.id, state=State.WAITING, page_size=100)) == 31


async def test_both_secrets_sign_until_the_old_one_ends(eager: Desk) -> None:
    async with hooked(eager) as hook:
        old, new = hook.webhook.secret, (await hook.keeper.rotate(hook.id)).secret
        await hook.settled(await eager.neighbours.confirm(uuid7()))
        await hook.grow_older(24)
        await hook.settled(await eager.neighbours.confirm(uuid7()))
        newest = (await hook.keeper.rotate(hook.id, overlap=0)).secret
        await hook.settled(await eager.neighbours.confirm(uuid7()))

    during, after, at_once = hook.receiver.requests
    assert len({old, new, newest}) == 3
    for secret in (old, new):
        assert during.verified(secret)
    assert after.verified(new)
    assert at_once.verified(newest)
    for request, secret in ((after, old), (at_once, new), (at_once, old)):
        with pytest.raises(WebhookVerificationError):
            request.verified(secret)


async def test_lost_answers_of_rotations_take_no_secret_from_a_receiver(eager: Desk) -> None:
    async with hooked(eager) as hook:
        for _ in range(3):
            await hook.keeper.rotate(hook.id)
        error = await refused(hook.keeper.rotate(hook.id))
        await hook.settled(await eager.neighbours.confirm(uuid7()))

        assert (error.reason, error.metadata) == ("STATE_CONFLICT", {"state": "ROTATING"})
        assert hook.receiver.requests[0].verified(hook.webhook.secret)
        last = await hook.keeper.rotate(hook.id, overlap=0)
        await hook.settled(await eager.neighbours.confirm(uuid7()))
        assert hook.receiver.requests[1].headers["webhook-signature"].count("v1,") == 1
        assert hook.receiver.requests[1].verified(last.secret)


async def test_what_is_too_old_to_be_looked_at_goes(eager: Desk) -> None:
    async with hooked(eager) as hook:
        old = await hook.settled(await eager.neighbours.confirm(uuid7()))
        await hook.grow_older(24 * 30 + 1)
        new = await hook.settled(await eager.neighbours.confirm(uuid7()))

        await eager.service.database.transact(leases.forget_old)

        assert [each.id for each in await hook.keeper.log(hook.id)] == [new.id]
        assert isinstance(await refused(hook.keeper.redeliver(old)), NotFound)


async def test_what_waits_and_what_is_due_are_counted(eager: Desk) -> None:
    async with hooked(eager) as hook:
        hook.receiver.usual = answer(503, "retry-after: 3600")
        await hook.settled_in_vain(await eager.neighbours.confirm(uuid7()))
        async with eager.service.database.reading() as connection:
            held_back = await leases.backlog(connection)
        await hook.keeper.update(hook.id, enabled=False)
        await hook.grow_older(2)
        async with eager.service.database.reading() as connection:
            disabled = await leases.backlog(connection)

    assert (held_back.waiting, held_back.due) == (1, 0)
    assert (disabled.waiting, disabled.due) == (1, 0)


def metric(desk: Desk, name: str, **labels: str) -> float:
    value: float | None = desk.service.running.runtime.registry.get_sample_value(name, labels)
    return value or 0.0
