"""Password hashes: argon2id in a bounded pool of threads, so that log-ins cannot take the whole process."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from mesh.errors import ResourceExhausted

MEMORY_KIB = 19 * 1024
ITERATIONS = 2
PARALLELISM = 1

T = TypeVar("T")


class PasswordHasher:
    """Hashes and verifies passwords with argon2id (RFC 9106; 19 MiB, 2 passes, as OWASP recommends).

    Args:
        threads: How many hashes are computed at once. Each takes 19 MiB and a core for about 20 ms.
        waiting: How many more may wait; beyond that calls are refused at once.
    """

    def __init__(self, *, threads: int, waiting: int) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=ITERATIONS, memory_cost=MEMORY_KIB, parallelism=PARALLELISM, type=argon2.Type.ID
        )
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="argon2")
        self._limit = threads + waiting
        self._running = 0
        # An address without an account is compared with this, so that it takes as long as one that has one.
        self._nobody = self._argon2.hash(secrets.token_bytes(32))

    async def hash(self, password: str) -> str:
        """The hash to store, with its salt and parameters (PHC string format).

        Raises:
            ResourceExhausted: OVERLOADED: too many passwords are being hashed.
        """
        return await self._run(lambda: self._argon2.hash(_octets(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed. Takes as long without a hash, and says no.

        Raises:
            ResourceExhausted: OVERLOADED: too many passwords are being hashed.
        """

        def matches() -> bool:
            try:
                return self._argon2.verify(password_hash or self._nobody, _octets(password))
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(matches) and password_hash is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._running >= self._limit:
            raise ResourceExhausted(
                "OVERLOADED", "too many passwords are being checked", retry_after=timedelta(seconds=1)
            )
        self._running += 1
        future = self._pool.submit(work)
        # Counted until the thread is done, not until the caller gives up: it is threads that are scarce.
        loop = asyncio.get_running_loop()

        def done(_: Future[T]) -> None:
            loop.call_soon_threadsafe(self._release)

        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    def _release(self) -> None:
        self._running -= 1


def _octets(password: str) -> bytes:
    """One password, however the keyboard composed it (NIST SP 800-63B 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode()
