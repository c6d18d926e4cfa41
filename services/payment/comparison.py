"""Our payments against a provider's ledger: where the two contradict each other. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from mesh.money import Money
from services.payment.domain import Payment, State
from services.payment.providers.port import Statement


class Kind(Enum):
    """About what two ledgers disagree."""

    HELD = "HELD"
    TAKEN = "TAKEN"
    GIVEN_BACK = "GIVEN_BACK"
    OUTCOME = "OUTCOME"
    """The provider did what our payment's state rules out."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What we have and what they have, in words for a person."""

    kind: Kind
    ours: str
    theirs: str


def expected(payment: Payment) -> Statement | None:
    """What the provider's ledger should say of a payment; None where that is still open."""
    nothing = Money.zero(payment.amount.currency)
    match payment.state:
        case State.PENDING:
            return None
        case State.AUTHORIZED:
            return Statement(held=payment.amount, taken=nothing, given_back=nothing)
        case State.CAPTURED:
            return Statement(held=nothing, taken=payment.captured, given_back=payment.refunded)
        case State.DECLINED | State.VOIDED:
            return Statement(held=nothing, taken=nothing, given_back=nothing)
        case _:
            assert_never(payment.state)


def compare(payment: Payment, statement: Statement | None) -> Sequence[Contradiction]:
    """Where a payment and a provider's statement contradict each other; nothing where it is still open.

    Args:
        payment: Ours.
        statement: Theirs; None if they have never heard of it, which is as good as nothing.
    """
    ours = expected(payment)
    if ours is None:
        return ()
    nothing = Money.zero(payment.amount.currency)
    theirs = statement or Statement(held=nothing, taken=nothing, given_back=nothing)
    pairs = (
        (Kind.HELD, ours.held, theirs.held),
        (Kind.TAKEN, ours.taken, theirs.taken),
        (Kind.GIVEN_BACK, ours.given_back, theirs.given_back),
    )
    return [Contradiction(kind, str(we), str(they)) for kind, we, they in pairs if we != they and (we or they)]
