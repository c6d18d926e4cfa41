"""A delivered event: what it is, and the context in which its handler runs."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind

from mesh.bus.envelope import TRACEPARENT, Envelope, Unreadable
from mesh.bus.port import Delivery
from mesh.bus.subscriptions import Received, Subscription
from mesh.call import Call, serving
from mesh.tracing import extract, tracer


@dataclass(frozen=True, slots=True)
class Item:
    """A delivery that is an event of ours."""

    delivery: Delivery
    envelope: Envelope
    subscription: Subscription
    received: Received[Any]


def parse(delivery: Delivery, subscription: Subscription) -> Item:
    """Reads a delivery as the event that its subject promises.

    Raises:
        Unreadable: It is none.
    """
    envelope = Envelope.read(delivery.headers)
    if envelope.type != subscription.subject:
        raise Unreadable(f"the type {envelope.type!r} is not known here")
    try:
        event = subscription.event_class.FromString(delivery.payload)
    except DecodeError as error:
        raise Unreadable(f"the payload is no {subscription.subject}: {error}") from error
    received = Received(
        event=event,
        event_id=envelope.event_id,
        aggregate_id=envelope.aggregate_id,
        version=envelope.version,
        time=envelope.time,
        correlation_id=envelope.correlation_id,
    )
    return Item(delivery, envelope, subscription, received)


@contextmanager
def handling(items: Sequence[Item]) -> Iterator[None]:
    """The call and the span in which a handler runs.

    An event alone goes on with the correlation and the trace of the call that caused it. A batch has many causes: it
    gets a span of its own that links to theirs, and keeps the correlation where it is the same for all.
    """
    first = items[0].envelope
    correlations = {item.envelope.correlation_id for item in items}
    call = Call(None, first.event_id, first.correlation_id if len(correlations) == 1 else first.event_id)
    causes = [extract({TRACEPARENT: item.envelope.traceparent}) for item in items if item.envelope.traceparent]
    with ExitStack() as stack:
        stack.enter_context(serving(call))
        stack.enter_context(
            tracer().start_as_current_span(
                f"process {first.type}",
                context=causes[0] if len(items) == 1 and causes else None,
                kind=SpanKind.CONSUMER,
                links=[Link(trace.get_current_span(cause).get_span_context()) for cause in causes],
                attributes={
                    "messaging.system": "nats",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": first.type,
                    "messaging.batch.message_count": len(items),
                },
            )
        )
        yield
