"""Asking a provider: under a key, and again for the answer where one was lost."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from mesh.errors import Unavailable
from services.payment.domain import Payment
from services.payment.providers.port import Authorization, NotDone, Operation, OutcomeUnknown, Request
from services.payment.store import Attempt

T = TypeVar("T")

RETRY_SOON: Final = timedelta(milliseconds=500)


async def ask(
    request: Callable[[], Awaitable[Authorization]], find: Callable[[], Awaitable[Authorization | None]]
) -> Authorization:
    """Asks the provider to hold an amount, and where its answer is lost, what became of it.

    Raises:
        Declined: It said no.
        Unavailable: Nothing happened, or nobody knows: the caller asks again with the same key.
    """
    try:
        return await request()
    except NotDone as failed:
        raise unknown() from failed
    except OutcomeUnknown:
        found = await _found(find)
        if found is None:
            raise unknown() from None
        return found


async def ask_done(request: Callable[[], Awaitable[None]], is_done: Callable[[], Awaitable[bool]]) -> None:
    """As `ask`, for requests whose only answer is that they are done."""
    try:
        await request()
    except NotDone as failed:
        raise unknown() from failed
    except OutcomeUnknown:
        if not await _found(is_done):
            raise unknown() from None


async def _found(find: Callable[[], Awaitable[T]]) -> T:
    try:
        return await find()
    except NotDone as failed:
        raise unknown() from failed


def request_of(payment: Payment, attempt: Attempt) -> Request:
    """An attempt as the request that the provider got, or may have got."""
    return Request(
        key=attempt.key,
        operation=Operation(attempt.kind),
        order_id=payment.order_id,
        reference=payment.reference,
        amount=attempt.amount,
    )


def unknown() -> Unavailable:
    """The error of a request to the provider whose outcome nobody knows yet."""
    return Unavailable(
        "DEPENDENCY_UNAVAILABLE",
        "what became of the request to the provider is not known yet; call again with the same key",
        metadata={"dependency": "provider"},
        retry_after=RETRY_SOON,
    )
