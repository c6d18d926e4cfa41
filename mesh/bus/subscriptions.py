"""Who handles which event: `on` and `on_batch` make the rows of a service's table of consumers."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from mesh.bus.subjects import area_of

if TYPE_CHECKING:  # the command line reads accounts and subjects here, and should not import a database for that
    from mesh.data.transaction import Transaction

E = TypeVar("E", bound=Message)


@dataclass(frozen=True, slots=True)
class Received(Generic[E]):
    """An event as a handler gets it."""

    event: E
    event_id: str
    aggregate_id: str
    version: int
    """Rises by one with each event of the aggregate. Redeliveries overtake each other: compare before you overwrite."""
    time: datetime
    """When it happened, by the clock of the service that published it."""
    correlation_id: str


Handler: TypeAlias = "Callable[[Transaction, Received[E]], Awaitable[None]]"
BatchHandler: TypeAlias = "Callable[[Transaction, Sequence[Received[E]]], Awaitable[None]]"


@dataclass(frozen=True)
class Subscription:
    """One row of a service's table of consumers."""

    event_class: type[Message]
    handle: "Callable[[Transaction, Sequence[Received[Any]]], Awaitable[None]]"
    """Takes a run of events of the class, in the order they came."""
    batched: bool

    @property
    def subject(self) -> str:
        """The subject of the event, which is its message's full name."""
        return self.event_class.DESCRIPTOR.full_name

    @property
    def area(self) -> str:
        """The part of the contract the event belongs to, such as `order` of `zoco.order.v1.OrderPlaced`."""
        return area_of(self.subject)


def on(event_class: type[E], handler: "Handler[E]") -> Subscription:
    """Handles each event of a class on its own, within the transaction that notes it as handled.

    Several events may share that transaction; if one fails, each gets a transaction of its own.
    """

    async def each(tx: "Transaction", events: Sequence[Received[E]]) -> None:
        for event in events:
            await handler(tx, event)

    return Subscription(event_class, each, batched=False)


def on_batch(event_class: type[E], handler: "BatchHandler[E]") -> Subscription:
    """Handles events of a class several at a time: for effects that cost less together, such as projections.

    If a batch fails, each of its events comes again in a batch of one.
    """
    return Subscription(event_class, handler, batched=True)
