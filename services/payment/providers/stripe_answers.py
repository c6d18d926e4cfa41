"""What Stripe answers, in the words of the port: errors, and the states of a payment intent. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stripe import (
    AuthenticationError,
    CardError,
    Charge,
    IdempotencyError,
    InvalidRequestError,
    PaymentIntent,
    PermissionError,  # noqa: A004 - Stripe's name for a key that may not do this
    RateLimitError,
    Refund,
    StripeError,
)

from mesh.logs import logger
from services.payment.providers.port import Authorization, Declined, NotDone, OutcomeUnknown, Statement
from services.payment.providers.stripe_amounts import from_stripe
from services.payment.providers.stripe_transport import NeverSent

GONE: Final = "voided"
"""Why an authorization is declined whose intent was cancelled before."""

CAPTURED: Final = "captured"
"""Why a void is declined."""

MISSING: Final = "resource_missing"
"""Stripe's code for an object that this account does not have."""

_log = logger("services.payment")


class Refused(Exception):
    """Stripe found fault with the request: it had no effect. The object's state may say why."""

    def __init__(self, code: str, param: str) -> None:
        super().__init__(f"{code} {param}".strip())
        self.code = code
        self.param = param


@contextmanager
def in_the_ports_terms() -> Iterator[None]:
    """Turns what the SDK raises into what the port knows.

    | Stripe | here |
    |---|---|
    | 402, the card | Declined, with Stripe's decline code |
    | no connection; 401, 403: the key is wrong; 429 | NotDone: nothing was carried out |
    | 400, 404 | Refused: nothing was carried out |
    | 400, the key was used for another request; 409; 5xx; no answer | OutcomeUnknown: look |

    Raises:
        Declined, NotDone, OutcomeUnknown, Refused: As the table says.
    """
    try:
        yield
    except CardError as declined:
        raise Declined(decline_code(declined)) from declined
    except (NeverSent, RateLimitError) as failed:
        raise NotDone(type(failed).__name__) from failed
    except (AuthenticationError, PermissionError) as failed:
        _log.error("STRIPE_API_KEY: Stripe does not take it for this", status=failed.http_status)
        raise NotDone("Stripe does not take the key") from failed
    except InvalidRequestError as refused:
        raise Refused(refused.code or "invalid_request", refused.param or "") from refused
    except IdempotencyError as used:
        _log.error("Stripe has another request under this key", code=used.code)
        raise OutcomeUnknown("Stripe has another request under this key") from used
    except StripeError as lost:
        raise OutcomeUnknown(f"{type(lost).__name__} {lost.http_status or ''}".strip()) from lost


@contextmanager
def looking() -> Iterator[None]:
    """As `in_the_ports_terms`, for requests that only look: whatever fails, nothing was changed.

    Raises:
        NotDone: Stripe cannot be asked now.
        Refused: There is no such thing.
    """
    try:
        with in_the_ports_terms():
            yield
    except (Declined, OutcomeUnknown) as failed:
        raise NotDone(str(failed)) from failed


def decline_code(error: CardError) -> str:
    """Why a card was declined: Stripe's decline code, or its error code where there is none."""
    match error.json_body:
        case {"error": {"decline_code": str(code)}} if code:
            return code
        case _:
            return error.code or "card_declined"


def authorization(intent: PaymentIntent) -> Authorization | None:
    """What an intent holds; None if it holds nothing yet.

    Raises:
        Declined: The card was declined, or the intent was cancelled.
        NotDone: Stripe is still at it.
    """
    match intent.status:
        case "requires_capture" | "succeeded":
            return Authorization(intent.id)
        case "canceled":
            raise Declined(GONE)
        case "processing":
            raise NotDone("Stripe is still processing the authorization")
        case _:
            failed = _last_decline(intent)
            if failed:
                raise Declined(failed)
            return None


def is_captured(intent: PaymentIntent) -> bool:
    """Whether an intent's amount was taken.

    Raises:
        Declined: It was cancelled, by us or because the hold expired.
    """
    if intent.status == "canceled":
        raise Declined(intent.cancellation_reason or "canceled")
    return intent.status == "succeeded"


def is_cancelled(intent: PaymentIntent) -> bool:
    """Whether an intent will never hold anything again.

    Raises:
        Declined: Its amount was taken.
    """
    if intent.status == "succeeded":
        raise Declined(CAPTURED)
    return intent.status == "canceled"


def is_given_back(refund: Refund) -> bool:
    """Whether a refund is made, or on its way.

    Raises:
        Declined: It failed.
    """
    if refund.status in ("failed", "canceled"):
        raise Declined(getattr(refund, "failure_reason", None) or refund.status)
    return True


def statement(intent: PaymentIntent) -> Statement:
    """What an intent's amounts are. Its latest charge must have been expanded."""
    charge = intent.latest_charge
    refunded = charge.amount_refunded if isinstance(charge, Charge) else 0
    return Statement(
        held=from_stripe(intent.currency, intent.amount_capturable),
        taken=from_stripe(intent.currency, intent.amount_received),
        given_back=from_stripe(intent.currency, refunded),
    )


def _last_decline(intent: PaymentIntent) -> str:
    error = intent.last_payment_error
    if error is None or error.type != "card_error":
        return ""
    return error.decline_code or error.code or "card_declined"
