"""The use cases of UserService: making, reading, changing and erasing accounts."""

from uuid import UUID

from mesh.clock import Clock
from mesh.data import Database, Transaction
from mesh.errors import (
    AlreadyExists,
    FailedPrecondition,
    MeshError,
    etag_stale,
    invalid_field,
    not_found,
)
from mesh.ids import uuid7
from services.user import domain, store
from services.user.domain import BadFieldError, Command, Delete, Role, State, Update, User, email_key
from services.user.metrics import UserMetrics
from services.user.password_check import PasswordCheck, credentials_refused
from services.user.password_rules import weakness
from services.user.passwords import PasswordHasher


class Accounts:
    """What can be done with accounts.

    Args:
        database: accounts and refresh tokens.
        hasher: hashes new passwords.
        check: compares old ones.
        clock: the time.
        metrics: counts sign-ups.
    """

    def __init__(
        self,
        *,
        database: Database,
        hasher: PasswordHasher,
        check: PasswordCheck,
        clock: Clock,
        metrics: UserMetrics,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._check = check
        self._clock = clock
        self._metrics = metrics

    async def register(self, *, email: str, password: str, display_name: str) -> User:
        """Makes a customer's account.

        Raises:
            InvalidArgument: INVALID_FIELD: address, name or password break a rule.
            AlreadyExists: EMAIL_TAKEN.
            ResourceExhausted: OVERLOADED.
        """
        self._refuse_weak(password, email=email, field="password")
        user = await self._make(email=email, password=password, display_name=display_name, role=Role.CUSTOMER)
        self._metrics.sign_ups.inc()
        return user

    async def ensure_admin(self, *, email: str, password: str) -> User:
        """Makes an administrator unless the address has an account, which is then left as it is.

        Safe to call in several processes at once. An account that exists is not promoted and its password is not reset:
        what administrators decided since stands.

        Returns:
            The account, made now or before.
        """
        async with self._database.reading() as connection:
            found = await store.credentials_by_email(connection, email_key(email))
        if found is not None:
            return found.user
        try:
            return await self._make(email=email, password=password, display_name="Administrator", role=Role.ADMIN)
        except AlreadyExists:
            # Another process was faster; its account is committed.
            async with self._database.reading() as connection:
                found = await store.credentials_by_email(connection, email_key(email))
            if found is None:
                raise
            return found.user

    async def user(self, user_id: str) -> User:
        """The account of that id, deleted ones included.

        Raises:
            NotFound: there is none.
        """
        checked_id = _checked_id(user_id)
        async with self._database.reading() as connection:
            return _existing(await store.find_user(connection, checked_id), user_id)

    async def users(self, *, after: str | None, limit: int) -> tuple[list[User], int]:
        """Accounts newest first behind the id `after`, and how many there are in all."""
        async with self._database.reading() as connection:
            return (
                await store.users_page(connection, after=after, limit=limit),
                await store.count_users(connection),
            )

    async def change(self, user_id: str, command: Command, *, etag: str = "") -> User:
        """Carries out a command; one that changes nothing succeeds and says nothing to anybody.

        Args:
            user_id: whose account.
            command: what to do.
            etag: do it to this version only; empty for any.

        Raises:
            NotFound: there is no such account; or it is deleted, for an update.
            Aborted: ETAG_STALE.
            AlreadyExists: EMAIL_TAKEN.
            InvalidArgument: INVALID_FIELD.
            FailedPrecondition: LAST_ADMIN; STATE_CONFLICT: the account is deleted.
        """
        checked_id = _checked_id(user_id)

        async def work(tx: Transaction) -> User:
            if not isinstance(command, Update):
                await store.lock_administrators(tx.connection)
            user = _existing(await store.lock_user(tx.connection, checked_id), user_id)
            # A repeat of what has already deleted the account finds another version, and has succeeded all the same.
            repeated = user.state is State.DELETED and isinstance(command, Delete)
            if etag and etag != user.etag and not repeated:
                raise etag_stale(user.etag)
            now = domain.later_than(user, self._clock())
            event = domain.decide(
                user,
                command,
                now=now,
                other_admins=await store.count_other_admins(tx.connection, user.id) if user.runs_the_shop else 0,
            )
            if event is None:
                return user
            await store.record(tx, event)
            if event.user.role is not user.role and event.user.state is State.ACTIVE:
                event = domain.revoke_tokens(event.user, now=now)
                await store.record(tx, event)
            if event.user.state is not State.ACTIVE:
                await store.revoke_all(tx.connection, user.id, now)
            return event.user

        try:
            return await self._database.transact(work)
        except domain.AccountGoneError as error:
            raise _gone(command, user_id) from error
        except domain.LastAdminError as error:
            raise FailedPrecondition("LAST_ADMIN", "the shop needs another administrator first") from error
        except BadFieldError as error:
            raise invalid_field(f"user.{error.field}", error.description) from error
        except store.EmailTakenError as error:
            raise _email_taken() from error

    async def change_password(self, user_id: str, *, current: str, new: str) -> None:
        """Replaces the password and ends every session of the account.

        Raises:
            NotFound: there is no such account, or it is deleted.
            Unauthenticated: CREDENTIALS_INVALID: the current password is another one.
            ResourceExhausted: LOGIN_SLOWED: failures here and at log-in count together. OVERLOADED.
            InvalidArgument: INVALID_FIELD: the new password breaks a rule.
        """
        checked_id = _checked_id(user_id)
        async with self._database.reading() as connection:
            found = await store.credentials_of(connection, checked_id)
        if found is None or found.user.email is None or found.password_hash is None:
            raise not_found("user", user_id)
        old_hash = found.password_hash
        key = email_key(found.user.email)
        self._refuse_weak(new, email=found.user.email, field="new_password")
        if new == current:
            raise invalid_field("new_password", "must be another one than before")
        right = await self._check.compare(key, found, current)
        new_hash = await self._hasher.hash(new) if right else ""

        async def work(tx: Transaction) -> MeshError | None:
            refused = await self._check.settle(tx, key, right=right)
            if refused:
                return refused
            user = _existing(await store.lock_user(tx.connection, checked_id), user_id)
            if not await store.replace_password(tx.connection, checked_id, old_hash=old_hash, new_hash=new_hash):
                return credentials_refused()  # it was changed while it was compared
            now = domain.later_than(user, self._clock())
            await store.revoke_all(tx.connection, checked_id, now)
            await store.record(tx, domain.revoke_tokens(user, now=now))
            return None

        refused = await self._database.transact(work)
        if refused:
            self._metrics.login_failures.labels(refused.reason).inc()
            raise refused

    async def _make(self, *, email: str, password: str, display_name: str, role: Role) -> User:
        try:
            registered = domain.register(
                user_id=uuid7(), email=email, display_name=display_name, role=role, now=self._clock()
            )
        except BadFieldError as error:
            raise invalid_field(error.field, error.description) from error
        password_hash = await self._hasher.hash(password)

        async def work(tx: Transaction) -> None:
            await store.record(tx, registered, password_hash=password_hash)

        try:
            await self._database.transact(work)
        except store.EmailTakenError as error:
            raise _email_taken() from error
        return registered.user

    def _refuse_weak(self, password: str, *, email: str, field: str) -> None:
        why = weakness(password, email=email)
        if why is not None:
            raise invalid_field(field, f"must {why}")


def _checked_id(user_id: str) -> str:
    """The id in its canonical form; what is none names nobody."""
    try:
        return str(UUID(user_id))
    except ValueError as error:
        raise not_found("user", user_id) from error


def _existing(user: User | None, user_id: str) -> User:
    if user is None:
        raise not_found("user", user_id)
    return user


def _gone(command: Command, user_id: str) -> MeshError:
    if isinstance(command, Update):
        return not_found("user", user_id)
    return FailedPrecondition("STATE_CONFLICT", "the account is deleted", metadata={"state": "DELETED"})


def _email_taken() -> AlreadyExists:
    return AlreadyExists("EMAIL_TAKEN", "the e-mail address has an account")
