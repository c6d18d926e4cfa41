"""Is this the account's password? Asked in two halves, so that nobody learns more by asking often or all at once."""

import hashlib
from datetime import timedelta

from mesh.clock import Clock
from mesh.data import Database, Transaction
from mesh.errors import MeshError, ResourceExhausted, Unauthenticated
from services.user import store
from services.user.metrics import UserMetrics
from services.user.passwords import PasswordHasher
from services.user.store import Credentials


class PasswordCheck:
    """Compares passwords and slows down whoever guesses.

    `compare` does the slow part, outside of any transaction. `settle` then decides within the caller's transaction, one
    attempt after the other: of a hundred guesses sent at once the first ten are answered, and the others are refused
    whether they were right or not.

    Args:
        database: where failures are counted.
        hasher: compares.
        clock: the time.
        metrics: counts failures.
    """

    def __init__(self, *, database: Database, hasher: PasswordHasher, clock: Clock, metrics: UserMetrics) -> None:
        self._database = database
        self._hasher = hasher
        self._clock = clock
        self._metrics = metrics

    async def compare(self, key: str, credentials: Credentials | None, password: str) -> bool:
        """Whether the password is the account's. Takes the same time where there is no account, and says no.

        Args:
            key: the e-mail key that was asked for.
            credentials: the account, if there is one.
            password: what was given.

        Raises:
            ResourceExhausted: LOGIN_SLOWED: there were too many failures; nothing was compared.
        """
        async with self._database.reading() as connection:
            throttle = await store.throttle_of(connection, address_hash(key))
        wait = throttle.wait(self._clock())
        if wait:
            self._metrics.login_failures.labels("LOGIN_SLOWED").inc()
            raise _slowed(wait)
        return await self._hasher.verify(credentials.password_hash if credentials else None, password)

    async def settle(self, tx: Transaction, key: str, *, right: bool) -> MeshError | None:
        """Counts a failure, or forgets the earlier ones.

        Returns:
            The error to raise once the transaction is committed: raised inside, it would undo the count.
        """
        now = self._clock()
        address = address_hash(key)
        if not right:
            await store.make_throttle(tx.connection, address, now=now)
        throttle = await store.lock_throttle(tx.connection, address)
        wait = throttle.wait(now)
        if wait:
            return _slowed(wait)
        if not right:
            await store.save_throttle(tx.connection, address, throttle.after_failure(now), now=now)
            return credentials_refused()
        if throttle.failures:
            await store.clear_throttle(tx.connection, address)
        return None


def credentials_refused() -> Unauthenticated:
    """The one answer to a wrong password, an unknown address and a deleted account."""
    return Unauthenticated("CREDENTIALS_INVALID", "e-mail or password is wrong")


def address_hash(key: str) -> bytes:
    """Under what the failures for an address are kept: the addresses that strangers try are not ours to store."""
    return hashlib.sha256(key.encode()).digest()


def _slowed(wait: timedelta) -> ResourceExhausted:
    return ResourceExhausted(
        "LOGIN_SLOWED", "too many log-ins failed for this account; try again later", retry_after=wait
    )
