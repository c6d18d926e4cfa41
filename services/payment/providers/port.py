"""The port behind which a payment provider stands: what payments need of one, and how its answers are told apart.

Every request carries a key. Asking again with the same key takes no money again, and `find` tells what a key did: so an
answer that was lost is asked for until it is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mesh.money import Money


class Declined(Exception):
    """The provider said no, for good."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotDone(Exception):
    """The request had no effect, for certain; it may be made again."""


class OutcomeUnknown(Exception):
    """No answer came: the request may have had its effect or not."""


class SignatureInvalid(Exception):
    """A report does not come from the provider, or is too old."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """An amount that the provider holds."""

    reference: str
    """What the provider calls it in later requests."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider reports of itself, once its signature was checked."""

    event_id: str
    type: str
    order_id: str
    """Which order it is about; empty where it is about none."""


class Provider(Protocol):
    """A payment provider."""

    @property
    def name(self) -> str:
        """Under which payments name it."""

    async def authorize(self, *, key: str, order_id: str, token: str, amount: Money) -> Authorization:
        """Holds an amount.

        Raises:
            Declined: The card is not good for it.
            NotDone: Nothing happened; try again.
            OutcomeUnknown: Ask `find_authorization`.
        """

    async def find_authorization(self, *, key: str) -> Authorization | None:
        """What became of `authorize` with this key; None if it never took effect.

        Raises:
            Declined: It was declined.
            NotDone: The provider cannot be asked now.
        """

    async def capture(self, *, key: str, reference: str, amount: Money) -> None:
        """Takes a held amount. Raises as `authorize`; ask `is_done`."""

    async def void(self, *, key: str, order_id: str, reference: str) -> None:
        """Gives a hold up. Without a reference, sees to it that a late `authorize` for the order holds nothing.

        Raises:
            Declined: The amount was taken.
            NotDone: Nothing happened; try again.
            OutcomeUnknown: Ask `is_done`.
        """

    async def refund(self, *, key: str, reference: str, amount: Money) -> None:
        """Gives a taken amount back. Raises as `authorize`; ask `is_done`."""

    async def is_done(self, *, key: str) -> bool:
        """Whether the request with this key took effect.

        Raises:
            Declined: It was declined.
            NotDone: The provider cannot be asked now.
        """

    def read_report(self, body: bytes, headers: Mapping[str, str]) -> Report:
        """Reads a report after checking its signature over the bytes as they came.

        Raises:
            SignatureInvalid: It is not the provider's, or too old.
            ValueError: It is not of the form that it should have.
        """
