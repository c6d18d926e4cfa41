"""Whose access tokens are refused although they have not expired: known of in every process that verifies tokens."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from mesh.errors import Unauthenticated

REMEMBERED: Final = timedelta(minutes=16)
"""How long a revocation is remembered: for as long as a token that was issued before it can live, and a minute for the
difference of clocks."""


class Revocations:
    """By person, up to when their tokens are refused. What is told comes from `mesh.bus.revocations`.

    A token that says in whole seconds when it was issued counts as issued at the beginning of its second: the one that
    a person gets within the second of a revocation is refused, too. Ours say it to the microsecond.

    Memory is bounded by how many people are revoked within 16 minutes.

    Args:
        clock: Gives the time in seconds since 1970.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._refused_until: dict[str, float] = {}
        self._streams: dict[str, set[_Stream]] = {}

    def __len__(self) -> int:
        """How many people it remembers."""
        return len(self._refused_until)

    def revoke(self, person: str, moment: datetime) -> None:
        """From now on refuses the tokens that a person was given up to a moment; ends the streams opened with them."""
        until = moment.timestamp()
        if self._is_over(until) or until <= self._refused_until.get(person, 0.0):
            return
        self._refused_until[person] = until
        for stream in tuple(self._streams.get(person, ())):
            if stream.issued_at <= until:
                stream.end()

    def refuses(self, person: str, issued_at: float) -> bool:
        """Whether a token is refused.

        Args:
            person: Its subject.
            issued_at: Its `iat`.
        """
        until = self._refused_until.get(person)
        return until is not None and issued_at <= until

    def forget(self) -> None:
        """Drops what cannot matter any more: every token it would refuse has expired."""
        for person, until in list(self._refused_until.items()):
            if self._is_over(until):
                del self._refused_until[person]

    @asynccontextmanager
    async def standing(self, person: str, issued_at: float) -> AsyncIterator[None]:
        """Goes on with the `with` block for as long as a token holds; for what outlives the check at its beginning.

        Raises:
            Unauthenticated: TOKEN_INVALID: the token was revoked meanwhile.
        """
        limit = asyncio.timeout(None)
        stream = _Stream(issued_at, limit)
        present = self._streams.setdefault(person, set())
        present.add(stream)
        try:
            async with limit:
                if self.refuses(person, issued_at):  # told of between the check and here
                    stream.end()
                yield
        except TimeoutError as over:
            if not limit.expired():
                raise
            raise revoked() from over
        finally:
            present.discard(stream)
            if not present and self._streams.get(person) is present:
                del self._streams[person]

    def _is_over(self, until: float) -> bool:
        return until + REMEMBERED.total_seconds() < self._clock()


class _Stream:
    """A call that goes on under a token."""

    __slots__ = ("_limit", "issued_at")

    def __init__(self, issued_at: float, limit: asyncio.Timeout) -> None:
        self.issued_at = issued_at
        self._limit = limit

    def end(self) -> None:
        """The token holds no more."""
        if not self._limit.expired():
            self._limit.reschedule(0)


def revoked() -> Unauthenticated:
    """The refusal, in the words that every token gets that does not hold: the reason is nobody else's business."""
    return Unauthenticated("TOKEN_INVALID", "the access token is not valid")
