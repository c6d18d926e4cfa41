"""Old versions of stored events, lifted to today's: an event is never rewritten, but read as if it had been."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

OldT = TypeVar("OldT", bound=Message)

Metadata = Mapping[str, Any]
"""What was noted beside an event: an old version may have left to it what a newer one says itself."""

Lift = Callable[[Any, Metadata], Message]

NO_METADATA: Final[Metadata] = MappingProxyType({})


class Upcasters:
    """Steps from a version to the next one, taken until there is none.

    The version stands in a message's full name, as `zoco.order.storage.v1.RefundRequested`. A step knows its own
    version and the next; when a third one comes, the second gets a step and the first one's stays as it is.
    """

    def __init__(self) -> None:
        self._steps: dict[str, Lift] = {}

    def step(self, old: type[OldT], lift: Callable[[OldT, Metadata], Message]) -> None:
        """Adds how a version becomes the next.

        Raises:
            ValueError: It has a step already.
        """
        name = old.DESCRIPTOR.full_name
        if name in self._steps:
            raise ValueError(f"{name} is lifted already")
        self._steps[name] = lift

    def lift(self, message: Message, metadata: Metadata) -> Message:
        """The newest version of a message; itself, where it is that."""
        while (step := self._steps.get(message.DESCRIPTOR.full_name)) is not None:
            message = step(message, metadata)
        return message

    def __contains__(self, message_class: type[Message]) -> bool:
        """Whether it is an old version."""
        return message_class.DESCRIPTOR.full_name in self._steps
