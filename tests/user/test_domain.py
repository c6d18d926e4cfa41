"""What an account is: given, when, then, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.user.domain import (
    AccountGoneError,
    BadFieldError,
    Command,
    Delete,
    Deleted,
    Disable,
    Disabled,
    Enable,
    LastAdminError,
    Registered,
    Role,
    SetRole,
    State,
    Update,
    Updated,
    User,
    checked_email,
    checked_name,
    decide,
    email_key,
    register,
)

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BEFORE + timedelta(days=1)
ALICE = User(
    id="0190a000-0000-7000-8000-000000000001",
    email="Alice@example.com",
    display_name="Alice",
    role=Role.CUSTOMER,
    state=State.ACTIVE,
    version=3,
    create_time=BEFORE,
    update_time=BEFORE,
)
ADMIN = replace(ALICE, role=Role.ADMIN)
GONE = replace(ALICE, email=None, display_name="", state=State.DELETED)


def test_a_new_account_is_an_active_customer_at_version_one() -> None:
    event = register(user_id=ALICE.id, email=" alice@example.com ", display_name=" Alice ", now=NOW)

    assert event == Registered(replace(ALICE, email="alice@example.com", version=1, create_time=NOW, update_time=NOW))


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (Update(email="a@example.org"), Updated(replace(ALICE, email="a@example.org", version=4, update_time=NOW))),
        (Update(display_name="Al"), Updated(replace(ALICE, display_name="Al", version=4, update_time=NOW))),
        (Update(display_name=""), Updated(replace(ALICE, display_name="", version=4, update_time=NOW))),
        (SetRole(Role.ADMIN), Updated(replace(ALICE, role=Role.ADMIN, version=4, update_time=NOW))),
        (Disable(), Disabled(replace(ALICE, state=State.DISABLED, version=4, update_time=NOW))),
        (Delete(), Deleted(replace(GONE, version=4, update_time=NOW))),
    ],
)
def test_a_command_leads_to_one_event_and_the_next_version(command: Command, event: object) -> None:
    assert decide(ALICE, command, now=NOW, other_admins=0) == event


@pytest.mark.parametrize(
    ("user", "command"),
    [
        (ALICE, Update()),
        (ALICE, Update(email=ALICE.email, display_name=ALICE.display_name)),
        (ALICE, SetRole(Role.CUSTOMER)),
        (ALICE, Enable()),
        (replace(ALICE, state=State.DISABLED), Disable()),
        (GONE, Delete()),
    ],
)
def test_a_repeated_command_changes_nothing(user: User, command: Command) -> None:
    assert decide(user, command, now=NOW, other_admins=0) is None


@pytest.mark.parametrize("command", [SetRole(Role.CUSTOMER), Disable(), Delete()])
def test_the_last_administrator_stays(command: Command) -> None:
    with pytest.raises(LastAdminError):
        decide(ADMIN, command, now=NOW, other_admins=0)

    assert decide(ADMIN, command, now=NOW, other_admins=1) is not None


def test_a_disabled_administrator_is_no_longer_the_last() -> None:
    assert decide(replace(ADMIN, state=State.DISABLED), Delete(), now=NOW, other_admins=0) is not None


@pytest.mark.parametrize("command", [Update(display_name="x"), SetRole(Role.ADMIN), Disable(), Enable()])
def test_nothing_happens_to_a_deleted_account(command: Command) -> None:
    with pytest.raises(AccountGoneError):
        decide(GONE, command, now=NOW, other_admins=1)


def test_a_deleted_account_keeps_no_personal_data() -> None:
    event = decide(ADMIN, Delete(), now=NOW, other_admins=1)

    assert event is not None
    assert (event.user.email, event.user.display_name, event.user.role) == (None, "", Role.CUSTOMER)
    assert event.user.id == ADMIN.id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice@Example.COM", "alice@example.com"),
        (" alice@example.com", "alice@example.com"),
        ("\uff21lice@example.com", "alice@example.com"),  # a full-width A
        ("STRASSE@example.com", "stra\u00dfe@example.com"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "a b@example.com",
        "a@b@c",
        "a@exa_mple.com",
        "a@-b.com",
        "a@b.com\r\nBcc: x@y.z",
        "a\x00@b.com",
        "Alice <a@b.com>",
        "x" * 243 + "@example.com",
    ],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(BadFieldError, match="email"):
        checked_email(email)


def test_an_address_may_be_254_characters_long() -> None:
    longest = "x" * 242 + "@example.com"

    assert checked_email(longest) == longest


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x00b", "a\x1bb", "a\u202eb", "a\u2028b", "x" * 101])
def test_a_name_that_could_disguise_or_break_text_is_refused(name: str) -> None:
    with pytest.raises(BadFieldError, match="display_name"):
        checked_name(name)


@pytest.mark.parametrize("name", ["", "Zoë", "李雷", "👩‍💻 Ada", "<b>O'Brien</b>", "می‌خواهم"])
def test_a_name_is_what_a_person_says_it_is(name: str) -> None:
    assert checked_name(name) == name
