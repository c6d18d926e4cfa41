"""What an account is and what may happen to it: pure; the time and the number of other administrators are arguments."""

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import assert_never

# What HTML's <input type=email> accepts (https://html.spec.whatwg.org/#valid-e-mail-address); protovalidate's `email`
# means the same.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")
_EMAIL_LENGTH = 254
_NAME_LENGTH = 100

# Characters that turn the direction of what is written after them: a name with one can disguise the text around it.
_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Role(Enum):
    """What a user may do."""

    CUSTOMER = "CUSTOMER"
    ADMIN = "ADMIN"


class State(Enum):
    """Whether an account can be used."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"
    DELETED = "DELETED"


@dataclass(frozen=True, kw_only=True)
class User:
    """An account. `email` is None once the account is deleted; `version` counts its events and is its etag."""

    id: str
    email: str | None
    display_name: str
    role: Role
    state: State
    version: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """The version as AIP-154 shows it."""
        return str(self.version)

    @property
    def runs_the_shop(self) -> bool:
        """Whether this is an administrator who can log in."""
        return self.role is Role.ADMIN and self.state is State.ACTIVE


@dataclass(frozen=True, kw_only=True)
class Update:
    """Change e-mail, name or both; None leaves a field as it is."""

    email: str | None = None
    display_name: str | None = None


@dataclass(frozen=True)
class SetRole:
    """Give a role."""

    role: Role


@dataclass(frozen=True)
class Disable:
    """Switch off."""


@dataclass(frozen=True)
class Enable:
    """Switch on again."""


@dataclass(frozen=True)
class Delete:
    """Erase the personal data and keep the id."""


Command = Update | SetRole | Disable | Enable | Delete


@dataclass(frozen=True)
class Registered:
    """An account was made; `user` is the account after it, as in every event here."""

    user: User


@dataclass(frozen=True)
class Updated:
    """E-mail, name, role or state changed."""

    user: User


@dataclass(frozen=True)
class Disabled:
    """The account was switched off: its tokens are to be refused."""

    user: User


@dataclass(frozen=True)
class Deleted:
    """The personal data was erased."""

    user: User


@dataclass(frozen=True)
class TokensRevoked:
    """The role or the password changed: the access tokens given up to now are to be refused."""

    user: User


Event = Registered | Updated | Disabled | Deleted | TokensRevoked


class AccountGoneError(Exception):
    """The account is deleted; nothing can happen to it any more."""


class LastAdminError(Exception):
    """The shop would be left without an administrator."""


class BadFieldError(ValueError):
    """A field breaks a rule.

    Attributes:
        field: which one, as the contract names it.
        description: what it must be.
    """

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field} {description}")
        self.field = field
        self.description = description


def register(*, user_id: str, email: str, display_name: str, role: Role = Role.CUSTOMER, now: datetime) -> Registered:
    """Make an account.

    Raises:
        BadFieldError: the address is none, or the name holds what no name holds.
    """
    return Registered(
        User(
            id=user_id,
            email=checked_email(email),
            display_name=checked_name(display_name),
            role=role,
            state=State.ACTIVE,
            version=1,
            create_time=now,
            update_time=now,
        )
    )


def decide(user: User, command: Command, *, now: datetime, other_admins: int) -> Event | None:
    """What a command leads to; None where there is nothing to change, so that every command may be repeated.

    Args:
        user: the account as it is.
        command: what is asked.
        now: the time.
        other_admins: how many administrators can log in besides this one.

    Raises:
        AccountGoneError: the account is deleted, and the command is another than Delete.
        LastAdminError: no administrator would be left.
        BadFieldError: a new value breaks a rule.
    """
    if user.state is State.DELETED:
        if isinstance(command, Delete):
            return None
        raise AccountGoneError

    match command:
        case Update(email=email, display_name=display_name):
            after = replace(
                user,
                email=user.email if email is None else checked_email(email),
                display_name=user.display_name if display_name is None else checked_name(display_name),
            )
        case SetRole(role=role):
            after = replace(user, role=role)
        case Disable():
            after = replace(user, state=State.DISABLED)
        case Enable():
            after = replace(user, state=State.ACTIVE)
        case Delete():
            after = replace(user, state=State.DELETED, email=None, display_name="", role=Role.CUSTOMER)
        case _:
            assert_never(command)

    if after == user:
        return None
    if user.runs_the_shop and not after.runs_the_shop and other_admins == 0:
        raise LastAdminError
    return _event(command, replace(after, version=user.version + 1, update_time=now))


def later_than(user: User, now: datetime) -> datetime:
    """Now, or just after the account's last change if the clock of who made that was ahead: their order must show."""
    return max(now, user.update_time + timedelta(microseconds=1))


def revoke_tokens(user: User, *, now: datetime) -> TokensRevoked:
    """Refuse the access tokens that the account was given up to now."""
    return TokensRevoked(replace(user, version=user.version + 1, update_time=now))


def _event(command: Command, after: User) -> Event:
    match command:
        case Update() | SetRole() | Enable():
            return Updated(after)
        case Disable():
            return Disabled(after)
        case Delete():
            return Deleted(after)
        case _:
            assert_never(command)


def email_key(email: str) -> str:
    """What two spellings of one address have in common: Unicode form and case do not tell people apart.

    Some mail hosts do read the local part with regard to case (RFC 5321 2.4); nobody gives out one that relies on it,
    while two accounts that differ in case alone are a way to pose as somebody else.
    """
    folded = unicodedata.normalize("NFKC", email.strip()).casefold()
    # No address holds a NUL and no text in PostgreSQL does: whoever asks for one finds nobody.
    return unicodedata.normalize("NFKC", folded).replace("\0", "\ufffd")


def checked_email(email: str) -> str:
    """The address without surrounding space.

    Raises:
        BadFieldError: it is no address, or longer than 254 characters (RFC 5321).
    """
    address = email.strip()
    if len(address) > _EMAIL_LENGTH or not _EMAIL.fullmatch(address):
        raise BadFieldError("email", "must be an e-mail address of at most 254 characters")
    return address


def checked_name(display_name: str) -> str:
    """The name in Unicode's composed form, without surrounding space.

    Raises:
        BadFieldError: it is longer than 100 characters, or holds control characters, line breaks or marks that turn the
            direction of writing.
    """
    name = unicodedata.normalize("NFC", display_name.strip())
    if len(name) > _NAME_LENGTH:
        raise BadFieldError("display_name", "must have at most 100 characters")
    if any(mark in _DIRECTION_MARKS or unicodedata.category(mark) in {"Cc", "Cs", "Zl", "Zp"} for mark in name):
        raise BadFieldError("display_name", "must not hold control characters or line breaks")
    return name
