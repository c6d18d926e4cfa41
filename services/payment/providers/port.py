"""The port behind which a payment provider stands: what payments need of one, and how its answers are told apart.

Every request carries a key. Asking again with the same key takes no money again, and what became of a request can be
asked for: so an answer that was lost is asked for until it is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
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


class Operation(Enum):
    """What a provider can be asked to do."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request that was made, or may have been: all that a provider needs to find what became of it."""

    key: str
    operation: Operation
    order_id: str
    reference: str
    """What the provider calls the authorization; empty where that is not known."""
    amount: Money


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Of what a statement is asked for."""

    order_id: str
    reference: str
    """What the provider calls the authorization; empty where that is not known."""
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What a provider's ledger says of one order's money."""

    held: Money
    """Authorized, and neither taken nor given up."""
    taken: Money
    given_back: Money

    def __add__(self, other: "Statement") -> "Statement":
        """Both together. Raises CurrencyMismatch."""
        return Statement(
            held=self.held + other.held,
            taken=self.taken + other.taken,
            given_back=self.given_back + other.given_back,
        )


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

    async def find_authorization(self, request: Request) -> Authorization | None:
        """What became of `authorize`; None if it has not taken effect.

        Raises:
            Declined: It was declined, or what it would hold was given up.
            NotDone: The provider cannot be asked now.
        """

    async def capture(self, *, key: str, reference: str, amount: Money) -> None:
        """Takes a held amount. Raises as `authorize`; ask `is_done`."""

    async def void(self, *, key: str, order_id: str, reference: str, amount: Money) -> None:
        """Gives a hold up. Without a reference, sees to it that a late `authorize` for the order holds nothing.

        Raises:
            Declined: The amount was taken.
            NotDone: Nothing happened; try again.
            OutcomeUnknown: Ask `is_done`.
        """

    async def refund(self, *, key: str, order_id: str, reference: str, amount: Money) -> None:
        """Gives a taken amount back. Raises as `authorize`; ask `is_done`."""

    async def is_done(self, request: Request) -> bool:
        """Whether a capture, a void or a refund took effect.

        Raises:
            Declined: It was declined.
            NotDone: The provider cannot be asked now.
        """

    async def statements(self, accounts: Sequence[Account]) -> Mapping[str, Statement]:
        """What the provider's ledger says of orders' money, by order; without those it has never heard of.

        Raises:
            NotDone: The provider cannot be asked now.
        """

    def read_report(self, body: bytes, headers: Mapping[str, str]) -> Report:
        """Reads a report after checking its signature over the bytes as they came.

        Raises:
            SignatureInvalid: It is not the provider's, or too old.
            ValueError: It is not of the form that it should have.
        """
