"""The use cases of AuthService: logging in, staying logged in, logging out."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from mesh.clock import Clock
from mesh.data import Database, Transaction
from mesh.errors import MeshError, PermissionDenied, Unauthenticated
from mesh.logs import logger
from services.user import store
from services.user.domain import State, User, email_key
from services.user.metrics import UserMetrics
from services.user.password_check import PasswordCheck, credentials_refused
from services.user.store import RefreshToken
from services.user.tokens import REFRESH_LIFETIME, TokenSigner, new_refresh_token, refresh_token_hash

_log = logger("services.user")


@dataclass(frozen=True)
class Session:
    """A pair of tokens and whose they are."""

    access_token: str
    refresh_token: str
    user: User

    def __repr__(self) -> str:
        return f"Session(user={self.user.id})"


@dataclass(frozen=True)
class _Opened:
    """A session that was opened while its account was held: at that moment the account was as it says."""

    user: User
    refresh_token: str
    moment: datetime


class Sessions:
    """Log-in, refresh and log-out.

    A log-in opens a family of refresh tokens; each is spent for the next one. The account's row is held while a token
    is added and locked while tokens are revoked, so that no successor slips past a revocation.

    Args:
        database: accounts and refresh tokens.
        check: compares passwords.
        signer: makes access tokens.
        clock: the time.
        metrics: counts log-ins.
    """

    def __init__(
        self, *, database: Database, check: PasswordCheck, signer: TokenSigner, clock: Clock, metrics: UserMetrics
    ) -> None:
        self._database = database
        self._check = check
        self._signer = signer
        self._clock = clock
        self._metrics = metrics

    async def log_in(self, email: str, password: str) -> Session:
        """Opens a session.

        Raises:
            Unauthenticated: CREDENTIALS_INVALID.
            PermissionDenied: ACCOUNT_DISABLED, told only to who knows the password.
            ResourceExhausted: LOGIN_SLOWED, OVERLOADED.
        """
        key = email_key(email)
        async with self._database.reading() as connection:
            found = await store.credentials_by_email(connection, key)
        right = await self._check.compare(key, found, password)

        async def settle(tx: Transaction) -> _Opened | MeshError:
            refused = await self._check.settle(tx, key, right=right)
            if refused:
                return refused
            now_held = await store.hold_credentials(tx.connection, found.user.id) if found else None
            if found is None or now_held is None or now_held.password_hash != found.password_hash:
                return credentials_refused()  # the password was changed while it was compared
            match now_held.user.state:
                case State.ACTIVE:
                    return await self._open(tx, now_held.user, family=str(uuid.uuid4()), parent=None)
                case State.DISABLED:
                    return _disabled()
                case State.DELETED:
                    return credentials_refused()
                case state:
                    assert_never(state)

        outcome = await self._database.transact(settle, named="log_in")
        if isinstance(outcome, MeshError):
            self._metrics.login_failures.labels(outcome.reason).inc()
        else:
            self._metrics.logins.inc()
        return self._session(outcome)

    async def refresh(self, token: str) -> Session:
        """Spends a refresh token for a new pair.

        A token that was spent before is a sign that somebody else has it: its family ends, in a transaction that is
        committed before the answer goes out (RFC 9700, 4.14.2). Only when two calls with one token really overlap, so
        that both saw it unspent, is the loser refused without that: the winner keeps what it won. The refusal is the
        same whatever its cause.

        Raises:
            Unauthenticated: REFRESH_TOKEN_INVALID: unknown, spent, expired or revoked.
            PermissionDenied: ACCOUNT_DISABLED.
        """
        token_hash = refresh_token_hash(token)
        async with self._database.reading() as connection:
            seen = await store.find_refresh_token(connection, token_hash)
        if seen is None:
            raise _refused()
        if seen.used_at is not None and seen.revoked_at is None:
            await self._revoke_family(seen)
            self._metrics.refresh_token_reuses.inc()
            _log.warning("refresh token reused", user_id=seen.user_id, family=seen.family)
            raise _refused()

        async def rotate(tx: Transaction) -> _Opened | MeshError:
            held = await store.hold_credentials(tx.connection, seen.user_id)
            if held is None or held.user.state is State.DELETED:
                return _refused()
            if held.user.state is State.DISABLED:
                return _disabled()
            if not await store.spend_refresh_token(tx.connection, token_hash, self._clock()):
                return _refused()
            return await self._open(tx, held.user, family=seen.family, parent=token_hash)

        return self._session(await self._database.transact(rotate, named="refresh"))

    async def log_out(self, token: str) -> None:
        """Ends the family of a refresh token. An unknown one is as good as ended."""
        async with self._database.reading() as connection:
            seen = await store.find_refresh_token(connection, refresh_token_hash(token))
        if seen is not None:
            await self._revoke_family(seen)

    async def _revoke_family(self, token: RefreshToken) -> None:
        async def revoke(tx: Transaction) -> None:
            await store.lock_user(tx.connection, token.user_id)
            await store.revoke_family(tx.connection, token.family, self._clock())

        await self._database.transact(revoke, named="revoke_family")

    async def _open(self, tx: Transaction, user: User, *, family: str, parent: bytes | None) -> _Opened:
        now = self._clock()
        token = new_refresh_token()
        await store.add_refresh_token(
            tx.connection,
            token_hash=refresh_token_hash(token),
            family=family,
            parent=parent,
            user_id=user.id,
            now=now,
            expire_time=now + REFRESH_LIFETIME,
        )
        return _Opened(user, token, now)

    def _session(self, outcome: _Opened | MeshError) -> Session:
        if isinstance(outcome, MeshError):
            raise outcome
        access_token = self._signer.access_token(outcome.user, now=outcome.moment)
        return Session(access_token=access_token, refresh_token=outcome.refresh_token, user=outcome.user)


def _refused() -> Unauthenticated:
    return Unauthenticated("REFRESH_TOKEN_INVALID", "the refresh token is not valid; log in again")


def _disabled() -> PermissionDenied:
    return PermissionDenied("ACCOUNT_DISABLED", "the account is disabled")
