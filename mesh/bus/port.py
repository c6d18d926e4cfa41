"""The port behind which the broker stands: what the mesh needs of one, and how it tells that something is lost."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class BusUnavailable(Exception):
    """The broker is not reachable, restarting, or has lost what one was just using. Wait, then begin anew."""


class StreamMissing(BusUnavailable):
    """Nobody has made the stream yet: its owner does, when it starts."""


class NotStored(Exception):
    """The broker refused one message, or did not say whether it has it."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A message on its way to the broker."""

    id: str
    """The broker drops a message whose id it saw recently; that is no guarantee, so receivers check again."""
    subject: str
    payload: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """A message as whoever listens hears it."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StreamState:
    """What identifies a stream, and how far it goes: a change tells that it was made anew or has lost its end."""

    name: str
    created: str
    last_sequence: int


class Delivery(Protocol):
    """A message that came, until it is settled by one of the last three methods."""

    @property
    def subject(self) -> str:
        """Where it was published."""

    @property
    def payload(self) -> bytes:
        """Its content."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""

    @property
    def position(self) -> str:
        """Stream and sequence, such as `zoco-order:17`."""

    async def in_progress(self) -> None:
        """Asks the broker for more time before it delivers the message again."""

    async def ack(self) -> None:
        """The message took effect; it is not delivered again."""

    async def nak(self, delay: float) -> None:
        """The message shall be delivered again, after `delay` seconds."""

    async def term(self) -> None:
        """The message is given up; it is not delivered again."""


class Pull(Protocol):
    """Messages as one asks for them."""

    async def fetch(self, limit: int) -> Sequence[Delivery]:
        """The next messages, oldest first; waits for the first one, not for the last.

        Raises:
            BusUnavailable: Nothing can come any more; open a new pull.
        """


class Bus(Protocol):
    """The broker."""

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable now."""

    @property
    def connections(self) -> int:
        """How often a connection was made so far. When it rises, the broker may not be what it was."""

    async def ensure_stream(self, area: str) -> StreamState:
        """Makes the stream of an area's events if there is none, and tells its state.

        Raises:
            BusUnavailable: The broker is not reachable.
        """

    async def publish(self, publications: Sequence[Publication]) -> Sequence[int | NotStored]:
        """Publishes messages in their order and waits until the broker has each on its disk.

        Returns:
            For each message its sequence in the stream, or why it is not known to be stored.

        Raises:
            BusUnavailable: The broker is not reachable.
        """

    def pull(self, area: str, consumer: str, subjects: Sequence[str]) -> AbstractAsyncContextManager[Pull]:
        """Opens a durable consumer of an area's events; all who open it under one name share its messages.

        Raises:
            StreamMissing: The owner of the area has not made its stream yet.
            BusUnavailable: The broker is not reachable.
        """

    async def history(self, area: str, subject: str, since: datetime) -> Sequence[Told]:
        """The events under one subject that the stream of an area has had since a moment, oldest first.

        Raises:
            StreamMissing: The owner of the area has not made its stream yet.
            BusUnavailable: The broker is not reachable.
        """

    async def overhear(self, subject: str, callback: Callable[[Told], Awaitable[None]]) -> None:
        """Calls back with each event that is published under a subject, from now on and across reconnections.

        What is published while there is no connection is not heard: ask `history` after each.
        """

    async def notify(self, subject: str, payload: bytes) -> None:
        """Tells all who listen now; nobody is told later. Lost while the broker is not reachable."""

    async def listen(self, subject: str, callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Calls back with each payload that is told under a subject, from now on and across reconnections."""
