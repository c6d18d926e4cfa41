"""Every statement the user service sends to its database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation
from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.data import Transaction
from services.user.domain import Event, Registered, Role, State, User, email_key
from services.user.tables import EMAIL_UNIQUE, account, login_failure, refresh_token
from services.user.throttle import Throttle
from services.user.wire import event_to_proto

# Whoever may take the last administrator away holds this lock until its transaction ends. Such calls are rare; a lock
# on each administrator's row instead would let two of them deadlock.
_ADMINISTRATORS_LOCK = func.hashtextextended("services.user.administrators", 0)


class EmailTakenError(Exception):
    """Another account has this address."""


@dataclass(frozen=True)
class Credentials:
    """An account and what its password is checked with; `password_hash` is None once the account is deleted."""

    user: User
    password_hash: str | None


@dataclass(frozen=True)
class RefreshToken:
    """What is stored of a refresh token."""

    hash: bytes
    family: str
    user_id: str
    expire_time: datetime
    used_at: datetime | None
    revoked_at: datetime | None


_USER = (
    account.c.id,
    account.c.email,
    account.c.display_name,
    account.c.role,
    account.c.state,
    account.c.version,
    account.c.create_time,
    account.c.update_time,
)


async def find_user(connection: AsyncConnection, user_id: str) -> User | None:
    """The account of that id."""
    row = (await connection.execute(select(*_USER).where(account.c.id == user_id))).one_or_none()
    return None if row is None else _user(row)


async def lock_user(connection: AsyncConnection, user_id: str) -> User | None:
    """The account of that id, held against every other change until the transaction ends."""
    row = (await connection.execute(select(*_USER).where(account.c.id == user_id).with_for_update())).one_or_none()
    return None if row is None else _user(row)


async def credentials_of(connection: AsyncConnection, user_id: str) -> Credentials | None:
    """The account of that id with its password hash."""
    return await _credentials(connection, _CREDENTIALS.where(account.c.id == user_id))


async def credentials_by_email(connection: AsyncConnection, key: str) -> Credentials | None:
    """The account of that e-mail key with its password hash."""
    return await _credentials(connection, _CREDENTIALS.where(account.c.email_key == key))


async def hold_credentials(connection: AsyncConnection, user_id: str) -> Credentials | None:
    """The account with its password hash, held against change until the transaction ends; others may hold it too."""
    return await _credentials(connection, _CREDENTIALS.where(account.c.id == user_id).with_for_update(read=True))


async def users_page(connection: AsyncConnection, *, after: str | None, limit: int) -> list[User]:
    """Accounts, newest first, behind the id `after`."""
    statement = select(*_USER).order_by(account.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(account.c.id < after)
    return [_user(row) for row in await connection.execute(statement)]


async def count_users(connection: AsyncConnection) -> int:
    """How many accounts there are, deleted ones included."""
    return (await connection.execute(select(func.count()).select_from(account))).scalar_one()


async def lock_administrators(connection: AsyncConnection) -> None:
    """Waits until nobody else is taking an administrator away, and keeps others from it until the transaction ends."""
    await connection.execute(select(func.pg_advisory_xact_lock(_ADMINISTRATORS_LOCK)))


async def count_other_admins(connection: AsyncConnection, user_id: str) -> int:
    """How many administrators can log in besides that one."""
    statement = (
        select(func.count())
        .select_from(account)
        .where(account.c.role == "ADMIN", account.c.state == "ACTIVE", account.c.id != user_id)
    )
    return (await connection.execute(statement)).scalar_one()


async def record(tx: Transaction, event: Event, *, password_hash: str | None = None) -> None:
    """Writes the account after an event, and the event into the outbox.

    Raises:
        EmailTakenError: another account has the address. The transaction is spoiled.
    """
    user = event.user
    row: dict[str, Any] = {
        "email": user.email,
        "email_key": None if user.email is None else email_key(user.email),
        "display_name": user.display_name,
        "role": user.role.value,
        "state": user.state.value,
        "version": user.version,
        "update_time": user.update_time,
    }
    if user.state is State.DELETED:
        row["password_hash"] = None
    try:
        if isinstance(event, Registered):
            row |= {"id": user.id, "create_time": user.create_time, "password_hash": password_hash}
            await tx.execute(insert(account).values(row))
        else:
            await tx.execute(update(account).where(account.c.id == user.id).values(row))
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation) and error.orig.diag.constraint_name == EMAIL_UNIQUE:
            raise EmailTakenError from error
        raise
    # The moment that stands in the account, too: tokens given later are dated after it.
    tx.publish(event_to_proto(event), aggregate_id=user.id, version=user.version, time=user.update_time)


async def replace_password(connection: AsyncConnection, user_id: str, *, old_hash: str, new_hash: str) -> bool:
    """Stores a new password unless somebody else changed it meanwhile; whether it did."""
    statement = (
        update(account)
        .where(account.c.id == user_id, account.c.password_hash == old_hash)
        .values(password_hash=new_hash)
        .returning(account.c.id)
    )
    return (await connection.execute(statement)).one_or_none() is not None


async def find_refresh_token(connection: AsyncConnection, token_hash: bytes) -> RefreshToken | None:
    """The refresh token of that hash."""
    statement = select(
        refresh_token.c.hash,
        refresh_token.c.family,
        refresh_token.c.user_id,
        refresh_token.c.expire_time,
        refresh_token.c.used_at,
        refresh_token.c.revoked_at,
    ).where(refresh_token.c.hash == token_hash)
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else RefreshToken(*row)


async def add_refresh_token(
    connection: AsyncConnection,
    *,
    token_hash: bytes,
    family: str,
    parent: bytes | None,
    user_id: str,
    now: datetime,
    expire_time: datetime,
) -> None:
    """Stores a new refresh token. The account must be held, or a revocation could miss it."""
    await connection.execute(
        insert(refresh_token).values(
            hash=token_hash, family=family, parent=parent, user_id=user_id, create_time=now, expire_time=expire_time
        )
    )


async def spend_refresh_token(connection: AsyncConnection, token_hash: bytes, now: datetime) -> bool:
    """Marks a refresh token as used, if it can be; whether it could. Of two at once one can."""
    statement = (
        update(refresh_token)
        .where(
            refresh_token.c.hash == token_hash,
            refresh_token.c.used_at.is_(None),
            refresh_token.c.revoked_at.is_(None),
            refresh_token.c.expire_time > now,
        )
        .values(used_at=now)
        .returning(refresh_token.c.hash)
    )
    return (await connection.execute(statement)).one_or_none() is not None


async def revoke_family(connection: AsyncConnection, family: str, now: datetime) -> None:
    """Ends every token that grew out of one log-in. The account must be locked, or a successor could slip in."""
    await _revoke(connection, refresh_token.c.family == family, now)


async def revoke_all(connection: AsyncConnection, user_id: str, now: datetime) -> None:
    """Ends every refresh token of an account, which must be locked."""
    await _revoke(connection, refresh_token.c.user_id == user_id, now)


async def throttle_of(connection: AsyncConnection, address_hash: bytes) -> Throttle:
    """What is known of failed log-ins for an address."""
    row = (await connection.execute(_THROTTLE.where(login_failure.c.address_hash == address_hash))).one_or_none()
    return _throttle(row)


async def lock_throttle(connection: AsyncConnection, address_hash: bytes) -> Throttle:
    """The same, held until the transaction ends where there was a failure before."""
    statement = _THROTTLE.where(login_failure.c.address_hash == address_hash).with_for_update()
    return _throttle((await connection.execute(statement)).one_or_none())


async def make_throttle(connection: AsyncConnection, address_hash: bytes, *, now: datetime) -> None:
    """Sees to it that there is a row to lock: two first failures at once must both be counted."""
    await connection.execute(
        postgresql.insert(login_failure)
        .values(address_hash=address_hash, failures=[], level=0, update_time=now)
        .on_conflict_do_nothing()
    )


async def save_throttle(connection: AsyncConnection, address_hash: bytes, throttle: Throttle, *, now: datetime) -> None:
    """Stores what is known of failed log-ins for an address, whose row is locked."""
    await connection.execute(
        update(login_failure)
        .where(login_failure.c.address_hash == address_hash)
        .values(
            failures=list(throttle.failures), level=throttle.level, slowed_until=throttle.slowed_until, update_time=now
        )
    )


async def clear_throttle(connection: AsyncConnection, address_hash: bytes) -> None:
    """Forgets the failed log-ins for an address."""
    await connection.execute(delete(login_failure).where(login_failure.c.address_hash == address_hash))


async def sweep(connection: AsyncConnection, *, tokens_expired_before: datetime, failures_before: datetime) -> None:
    """Deletes refresh tokens and failures that mean nothing any more."""
    await connection.execute(delete(refresh_token).where(refresh_token.c.expire_time < tokens_expired_before))
    await connection.execute(delete(login_failure).where(login_failure.c.update_time < failures_before))


_CREDENTIALS = select(*_USER, account.c.password_hash)
_THROTTLE = select(login_failure.c.failures, login_failure.c.level, login_failure.c.slowed_until)


async def _credentials(connection: AsyncConnection, statement: Select[Any]) -> Credentials | None:
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else Credentials(user=_user(row), password_hash=row.password_hash)


async def _revoke(connection: AsyncConnection, which: Any, now: datetime) -> None:
    await connection.execute(
        update(refresh_token).where(which, refresh_token.c.revoked_at.is_(None)).values(revoked_at=now)
    )


def _user(row: Row[*tuple[Any, ...]]) -> User:
    return User(
        id=row.id,
        email=row.email,
        display_name=row.display_name,
        role=Role(row.role),
        state=State(row.state),
        version=row.version,
        create_time=row.create_time,
        update_time=row.update_time,
    )


def _throttle(row: Row[*tuple[Any, ...]] | None) -> Throttle:
    if row is None:
        return Throttle()
    return Throttle(failures=tuple(row.failures), level=row.level, slowed_until=row.slowed_until)
