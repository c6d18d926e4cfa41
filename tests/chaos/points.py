"""Every crash point there is, and which flow of the chaos run comes by there.

A name is `<workload>.<what is done>.<how far it is>`. A transaction that has a name has two points, around its commit.

Between the broker's having an event on disk and the relay's hearing so there is no point of its own: what a crash
leaves behind there is what one at `relay.acknowledged` leaves, an event that was stored and is not marked.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final


class Flow(Enum):
    """What a customer or an administrator does, from the first call to the last."""

    BUY = "buy"
    """An order that is confirmed, and shipped."""
    DECLINED = "declined"
    """An order whose card is declined."""
    SOLD_OUT = "sold_out"
    """An order for more pieces than there are."""
    LOST_ANSWER = "lost_answer"
    """An order whose charge takes effect and whose answer is lost (`tok_charged_then_timeout`)."""
    STUMBLE = "stumble"
    """An order whose authorization fails once without effect (`tok_error_once`)."""
    CANCEL_EARLY = "cancel_early"
    """An order that is called off while its card is being asked (`tok_slow`): before the capture."""
    CANCEL_LATE = "cancel_late"
    """An order that is called off after the capture, and paid back."""
    REFUND = "refund"
    """An order of which a part is paid back, twice, under two keys."""
    RESTOCK = "restock"
    """A new product, whose stock is adjusted under a key."""
    SESSION = "session"
    """A new account: log-in, refresh, the reuse of the spent token, which ends the family; then the account goes."""


CHECKOUTS: Final = (Flow.BUY, Flow.DECLINED, Flow.LOST_ANSWER, Flow.CANCEL_EARLY, Flow.CANCEL_LATE)
"""The flows that every point is crossed with in the full form."""

DELICATE: Final = frozenset({Flow.CANCEL_EARLY})
"""Flows that go another way if they are disturbed before they come to their point: who calls off an order before its
capture has little time to."""

PUBLISHERS: Final[Mapping[str, Flow]] = {
    "user": Flow.SESSION,
    "product": Flow.RESTOCK,
    "inventory": Flow.BUY,
    "order": Flow.BUY,
    "payment": Flow.BUY,
}
"""Who has an outbox, and the flow that writes to it."""

CONSUMERS: Final[Mapping[str, Flow]] = {
    "product": Flow.BUY,
    "inventory": Flow.RESTOCK,
    "order": Flow.SESSION,
    "notification": Flow.BUY,
    "analytics": Flow.BUY,
}
"""Who hears events that the flows bring about, and of which flow."""


def _around(*names: str) -> Iterable[str]:
    """The two points of each named transaction."""
    for name in names:
        yield f"{name}.before_commit"
        yield f"{name}.after_commit"


def _step(kind: str) -> Iterable[str]:
    """The four points of a step of the saga: meant, answered, about to be written down, written down."""
    return (
        f"order.{kind}.before_ask",
        f"order.{kind}.after_reply",
        *_around(f"order.{kind}"),
    )


def _operation(kind: str) -> Iterable[str]:
    """The points of an operation on a provider: attempt, effect, reply, result."""
    return (
        *_around(f"payment.{kind}.attempt", f"payment.sandbox.{kind}"),
        f"payment.{kind}.after_reply",
        *_around(f"payment.{kind}.result"),
    )


def _by_flow() -> Iterable[tuple[Flow, Iterable[str]]]:
    yield Flow.BUY, _around("order.create", "order.answer", "order.command")
    yield Flow.SOLD_OUT, _around("inventory.reserve")
    for kind in ("reserve", "authorize", "capture", "commit"):
        yield Flow.BUY, _step(kind)
    yield Flow.CANCEL_EARLY, _step("void")
    yield Flow.CANCEL_LATE, _step("release")
    yield Flow.REFUND, _step("refund")
    yield Flow.BUY, _around("order.take_over")
    yield Flow.BUY, _around("inventory.commit")
    yield Flow.CANCEL_LATE, _around("inventory.release")
    yield Flow.RESTOCK, _around("inventory.adjust")
    yield Flow.BUY, (*_operation("authorize"), *_operation("capture"))
    yield Flow.CANCEL_EARLY, (*_operation("void"), *_around("payment.void.tombstone"))
    yield Flow.REFUND, _operation("refund")
    yield Flow.DECLINED, _around("payment.authorize.declined")
    yield Flow.SESSION, _around("user.log_in", "user.refresh", "user.revoke_family")
    yield Flow.BUY, (*_around("notification.mail.take", "notification.mail.note"), "notification.mail.after_sending")
    for workload, flow in PUBLISHERS.items():
        yield flow, [f"{workload}.relay.{how_far}" for how_far in ("selected", "acknowledged", "marked")]
    for workload, flow in CONSUMERS.items():
        consumer = f"{workload}.consumer"
        yield flow, (f"{consumer}.received", *_around(consumer), f"{consumer}.acknowledged")


POINTS: Final[Mapping[str, Flow]] = {name: flow for flow, names in _by_flow() for name in names}
"""Each point, and the flow that comes by it for sure."""

ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(_around("order.refuse"), "a refusal before anything is placed: an unknown product"),
    **dict.fromkeys(_around("order.put_off"), "a neighbour that is away for longer than its calls are repeated"),
    **dict.fromkeys(_around("order.give_up"), "ten minutes without an answer before the capture"),
    **dict.fromkeys(_around("payment.answer"), "a neighbour's repeat that finds everything done"),
    **dict.fromkeys(_around("payment.capture.declined"), "a hold that no longer holds when it is to be taken"),
    **dict.fromkeys(_around("payment.refund.refused"), "a provider that will not give money back"),
    **dict.fromkeys(_around("payment.report"), "a provider's report"),
    **dict.fromkeys(
        (*_around("notification.webhook.take", "notification.webhook.note"), "notification.webhook.after_sending"),
        "somebody outside who wants to hear of orders (tests/notification/test_webhook_crashes.py)",
    ),
    **dict.fromkeys(_around(*(f"{workload}.set_aside" for workload in CONSUMERS)), "a poison message"),
}
"""Points that no flow comes by unless something else goes wrong, and what that is."""
