"""Accounts over the real wire."""

import asyncio

import pytest
from sqlalchemy import select

from mesh.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from services.user.tables import account, refresh_token
from tests.harness import refused
from tests.user.conftest import ADMIN_EMAIL, PASSWORD, Person, Shop
from zoco.user.v1 import user_pb2
from zoco.user.v1 import user_service_pb2 as service

NOBODY = "0190a000-0000-7000-8000-00000000dead"
NEW_PASSWORD = "seven green paper boats"

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_new_account_is_a_customers(shop: Shop) -> None:
    user = await shop.anyone.register("Alice@Example.com", name="  Alice  ")

    assert (user.email, user.display_name) == ("Alice@Example.com", "Alice")
    assert (user.role, user.state, user.etag) == (user_pb2.User.CUSTOMER, user_pb2.User.ACTIVE, "1")
    assert user.create_time == user.update_time


@pytest.mark.parametrize("spelling", ["alice@example.com", "ALICE@EXAMPLE.COM", "alice@EXAMPLE.com"])
async def test_an_address_has_one_account_however_it_is_written(shop: Shop, spelling: str) -> None:
    await shop.anyone.register("alice@example.com")

    taken = await refused(shop.anyone.register(spelling))

    assert isinstance(taken, AlreadyExists)
    assert taken.reason == "EMAIL_TAKEN"


async def test_of_twenty_who_register_one_address_at_once_one_gets_it(shop: Shop) -> None:
    outcomes = await asyncio.gather(
        *(shop.anyone.register("alice@example.com") for _ in range(20)), return_exceptions=True
    )

    assert sum(isinstance(outcome, user_pb2.User) for outcome in outcomes) == 1


@pytest.mark.parametrize(
    ("email", "password", "name", "field"),
    [
        ("no address", PASSWORD, "Alice", "email"),
        ("x" * 250 + "@example.com", PASSWORD, "Alice", "email"),
        ("alice@example.com", "short", "Alice", "password"),
        ("alice@example.com", "x" * 129, "Alice", "password"),
        ("alice@example.com", "password1234", "Alice", "password"),
        ("henrietta@example.com", "henrietta and her roses", "Alice", "password"),
        ("alice@example.com", PASSWORD, "x" * 101, "display_name"),
        ("alice@example.com", PASSWORD, "two\nlines", "display_name"),
        ("alice@example.com", PASSWORD, "back\u202ewards", "display_name"),
    ],
)
async def test_a_registration_that_breaks_a_rule_names_the_field(
    shop: Shop, email: str, password: str, name: str, field: str
) -> None:
    wrong = await refused(shop.anyone.register(email, password, name))

    assert isinstance(wrong, InvalidArgument)
    assert wrong.reason == "INVALID_FIELD"
    assert [violation.field for violation in wrong.field_violations] == [field]
    assert password not in str(wrong)


async def test_nobody_sees_another_persons_account(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    mallory = shop.as_user((await shop.anyone.register("mallory@example.com")).id)

    for call in (
        mallory.users.GetUser(service.GetUserRequest(id=alice.id)),
        mallory.update(user_pb2.User(id=alice.id, display_name="Mallory")),
        mallory.users.DeleteUser(service.DeleteUserRequest(id=alice.id)),
        mallory.users.ChangePassword(
            service.ChangePasswordRequest(id=alice.id, current_password=PASSWORD, new_password=NEW_PASSWORD)
        ),
    ):
        denied = await refused(call)
        assert isinstance(denied, NotFound)
        assert denied.reason == "RESOURCE_NOT_FOUND"


async def test_a_customer_runs_nothing(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    customer = shop.as_user(alice.id)

    for call in (
        customer.users.ListUsers(service.ListUsersRequest()),
        customer.users.SetRole(service.SetRoleRequest(id=alice.id, role=user_pb2.User.ADMIN)),
        customer.users.DisableUser(service.DisableUserRequest(id=alice.id)),
        customer.users.EnableUser(service.EnableUserRequest(id=alice.id)),
    ):
        denied = await refused(call)
        assert isinstance(denied, PermissionDenied)
        assert denied.reason == "ROLE_REQUIRED"


async def test_without_a_token_there_is_no_account(shop: Shop) -> None:
    missing = await refused(shop.anyone.users.GetUser(service.GetUserRequest(id="me")))

    assert isinstance(missing, Unauthenticated)
    assert missing.reason == "TOKEN_MISSING"


async def test_an_administrator_sees_every_account_and_none_that_is_not(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    admin = shop.as_admin()

    assert await admin.users.GetUser(service.GetUserRequest(id=alice.id.upper())) == alice
    missing = await refused(admin.users.GetUser(service.GetUserRequest(id=NOBODY)))
    assert missing.reason == "RESOURCE_NOT_FOUND"
    assert missing.resource == ("user", NOBODY)


async def test_a_list_goes_through_everybody_once_newest_first(shop: Shop) -> None:
    made = [(await shop.anyone.register(f"person{number}@example.com")).id for number in range(5)]
    admin = shop.as_admin()
    seen: list[str] = []
    token = ""
    while True:
        page = await admin.users.ListUsers(service.ListUsersRequest(page_size=2, page_token=token))
        assert page.total_size == 6  # with the administrator of the settings
        seen += [user.id for user in page.users]
        token = page.next_page_token
        if not token:
            break

    assert seen[:5] == made[::-1]
    assert len(seen) == len(set(seen)) == 6


async def test_a_made_up_page_token_is_refused(shop: Shop) -> None:
    wrong = await refused(shop.as_admin().users.ListUsers(service.ListUsersRequest(page_token="made up")))

    assert wrong.reason == "INVALID_PAGE_TOKEN"


async def test_an_update_without_a_mask_changes_what_is_set(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com", name="Alice")

    changed = await shop.as_user(alice.id).update(user_pb2.User(id="me", display_name="Al"))

    assert (changed.display_name, changed.email, changed.etag) == ("Al", "alice@example.com", "2")


async def test_a_mask_can_clear_a_field_and_change_another(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com", name="Alice")
    change = user_pb2.User(id=alice.id, email="alice@example.org")

    changed = await shop.as_user(alice.id).update(change, "display_name", "email")

    assert (changed.display_name, changed.email) == ("", "alice@example.org")
    assert (await shop.anyone.log_in("alice@example.org")).user == changed
    assert (await refused(shop.anyone.log_in("alice@example.com"))).reason == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("path", ["nonsense", "password_hash", "role.x"])
async def test_a_mask_that_reaches_further_is_refused(shop: Shop, path: str) -> None:
    alice = await shop.anyone.register("alice@example.com")

    wrong = await refused(shop.as_user(alice.id).update(user_pb2.User(id="me", role=user_pb2.User.ADMIN), path))

    assert isinstance(wrong, InvalidArgument)
    assert [violation.field for violation in wrong.field_violations] == ["update_mask"]


@pytest.mark.parametrize("path", ["role", "state", "id", "etag"])
async def test_what_only_goes_out_counts_for_nothing_in_a_mask(shop: Shop, path: str) -> None:
    alice = await shop.anyone.register("alice@example.com")

    change = user_pb2.User(id="me", role=user_pb2.User.ADMIN, state=user_pb2.User.DISABLED, display_name="Other")
    changed = await shop.as_user(alice.id).update(change, path)

    assert (changed.id, changed.role, changed.state) == (alice.id, alice.role, alice.state)
    assert changed.display_name == alice.display_name


async def test_role_and_state_in_a_body_are_ignored(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    change = user_pb2.User(id="me", display_name="Al", role=user_pb2.User.ADMIN, state=user_pb2.User.DISABLED)

    changed = await shop.as_user(alice.id).update(change)

    assert (changed.role, changed.state) == (user_pb2.User.CUSTOMER, user_pb2.User.ACTIVE)


async def test_an_update_of_an_old_version_is_aborted(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    her = shop.as_user(alice.id)
    await her.update(user_pb2.User(id="me", display_name="Al", etag=alice.etag))

    stale = await refused(her.update(user_pb2.User(id="me", display_name="Ally", etag=alice.etag)))

    assert isinstance(stale, Aborted)
    assert stale.reason == "ETAG_STALE"
    assert stale.metadata == {"etag": "2"}


async def test_of_ten_updates_of_one_version_one_wins(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    her = shop.as_user(alice.id)

    outcomes = await asyncio.gather(
        *(her.update(user_pb2.User(id="me", display_name=f"Al {n}", etag=alice.etag)) for n in range(10)),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, user_pb2.User) for outcome in outcomes) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (user_pb2.User(id="me", email="no address"), "user.email"),
        (user_pb2.User(id="me", display_name="two\nlines"), "user.display_name"),
    ],
)
async def test_an_update_that_breaks_a_rule_names_the_field(shop: Shop, change: user_pb2.User, field: str) -> None:
    alice = await shop.anyone.register("alice@example.com")

    wrong = await refused(shop.as_user(alice.id).update(change))

    assert [violation.field for violation in wrong.field_violations] == [field]


async def test_an_address_cannot_be_taken_over(shop: Shop) -> None:
    await shop.anyone.register("alice@example.com")
    mallory = await shop.anyone.register("mallory@example.com")

    taken = await refused(shop.as_user(mallory.id).update(user_pb2.User(id="me", email="ALICE@example.com")))

    assert taken.reason == "EMAIL_TAKEN"


async def test_another_password_ends_every_session(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    sessions = [await shop.anyone.log_in("alice@example.com") for _ in range(2)]

    await change_password(shop.as_user(alice.id), PASSWORD, NEW_PASSWORD)

    for session in sessions:
        assert (await refused(shop.anyone.refresh(session.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    assert (await refused(shop.anyone.log_in("alice@example.com", PASSWORD))).reason == "CREDENTIALS_INVALID"
    assert (await shop.anyone.log_in("alice@example.com", NEW_PASSWORD)).user.id == alice.id


async def test_a_password_is_changed_only_by_who_knows_it_and_only_to_a_good_one(shop: Shop) -> None:
    alice = shop.as_user((await shop.anyone.register("alice@example.com")).id)

    assert (await refused(change_password(alice, "not the password", NEW_PASSWORD))).reason == "CREDENTIALS_INVALID"
    common = await refused(change_password(alice, PASSWORD, "password1234"))
    assert [violation.field for violation in common.field_violations] == ["new_password"]
    same = await refused(change_password(alice, PASSWORD, PASSWORD))
    assert [violation.field for violation in same.field_violations] == ["new_password"]


async def test_guessing_a_password_while_changing_it_slows_down_log_in_too(shop: Shop) -> None:
    alice = shop.as_user((await shop.anyone.register("alice@example.com")).id)
    for _ in range(5):
        await refused(change_password(alice, "not the password", NEW_PASSWORD))
        await refused(shop.anyone.log_in("alice@example.com", "not the password"))

    assert (await refused(change_password(alice, PASSWORD, NEW_PASSWORD))).reason == "LOGIN_SLOWED"
    assert (await refused(shop.anyone.log_in("alice@example.com"))).reason == "LOGIN_SLOWED"


async def test_of_ten_password_changes_at_once_one_wins(shop: Shop) -> None:
    alice = shop.as_user((await shop.anyone.register("alice@example.com")).id)

    outcomes = await asyncio.gather(
        *(change_password(alice, PASSWORD, f"{NEW_PASSWORD} {number}") for number in range(10)), return_exceptions=True
    )

    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1


async def test_a_disabled_account_cannot_be_used_until_it_is_enabled(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")
    admin = shop.as_admin()

    disabled = await admin.users.DisableUser(service.DisableUserRequest(id=alice.id))
    assert disabled == await admin.users.DisableUser(service.DisableUserRequest(id=alice.id))
    assert (disabled.state, disabled.etag) == (user_pb2.User.DISABLED, "2")
    assert (await refused(shop.anyone.refresh(session.refresh_token))).reason == "ACCOUNT_DISABLED"

    enabled = await admin.users.EnableUser(service.EnableUserRequest(id=alice.id))
    assert (enabled.state, enabled.etag) == (user_pb2.User.ACTIVE, "3")
    assert (await refused(shop.anyone.refresh(session.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    assert await shop.anyone.log_in("alice@example.com")


async def test_a_deleted_account_keeps_its_id_and_nothing_else(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    session = await shop.anyone.log_in("alice@example.com")
    her = shop.as_user(alice.id)

    await her.users.DeleteUser(service.DeleteUserRequest(id="me", etag=alice.etag))
    await shop.as_admin().users.DeleteUser(service.DeleteUserRequest(id=alice.id, etag=alice.etag))

    gone = await shop.as_admin().users.GetUser(service.GetUserRequest(id=alice.id))
    assert (gone.id, gone.state, gone.email, gone.display_name) == (alice.id, user_pb2.User.DELETED, "", "")
    async with shop.service.database.reading() as connection:
        row = (await connection.execute(select(account).where(account.c.id == alice.id))).one()
        live = select(refresh_token).where(refresh_token.c.revoked_at.is_(None))
        assert (await connection.execute(live)).all() == []
    assert (row.email, row.email_key, row.password_hash) == (None, None, None)
    assert (await refused(shop.anyone.refresh(session.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    assert (await refused(shop.anyone.log_in("alice@example.com"))).reason == "CREDENTIALS_INVALID"
    again = await shop.anyone.register("alice@example.com")
    assert again.id != alice.id


async def test_nothing_more_happens_to_a_deleted_account(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    admin = shop.as_admin()
    await admin.users.DeleteUser(service.DeleteUserRequest(id=alice.id))

    for call in (
        admin.users.DisableUser(service.DisableUserRequest(id=alice.id)),
        admin.users.EnableUser(service.EnableUserRequest(id=alice.id)),
        admin.users.SetRole(service.SetRoleRequest(id=alice.id, role=user_pb2.User.ADMIN)),
    ):
        conflict = await refused(call)
        assert isinstance(conflict, FailedPrecondition)
        assert (conflict.reason, conflict.metadata) == ("STATE_CONFLICT", {"state": "DELETED"})
    gone = await refused(admin.update(user_pb2.User(id=alice.id, display_name="Alice")))
    assert gone.reason == "RESOURCE_NOT_FOUND"
    assert (await refused(change_password(admin, PASSWORD, NEW_PASSWORD, alice.id))).reason == "RESOURCE_NOT_FOUND"


async def test_deleting_an_old_version_is_aborted(shop: Shop) -> None:
    alice = await shop.anyone.register("alice@example.com")
    her = shop.as_user(alice.id)
    await her.update(user_pb2.User(id="me", display_name="Al"))

    stale = await refused(her.users.DeleteUser(service.DeleteUserRequest(id="me", etag=alice.etag)))

    assert stale.reason == "ETAG_STALE"


async def test_the_administrator_of_the_settings_exists_and_stays(shop: Shop) -> None:
    boss = await shop.administrator()
    admin = shop.as_admin(boss.id)

    assert (boss.email, boss.role) == (ADMIN_EMAIL, user_pb2.User.ADMIN)
    for call in (
        admin.users.SetRole(service.SetRoleRequest(id=boss.id, role=user_pb2.User.CUSTOMER)),
        admin.users.DisableUser(service.DisableUserRequest(id=boss.id)),
        admin.users.DeleteUser(service.DeleteUserRequest(id=boss.id)),
    ):
        last = await refused(call)
        assert isinstance(last, FailedPrecondition)
        assert last.reason == "LAST_ADMIN"


async def test_administrators_who_remove_each_other_at_once_leave_one(shop: Shop) -> None:
    admin = shop.as_admin()
    ids = [(await shop.administrator()).id]
    for number in range(5):
        user = await shop.anyone.register(f"admin{number}@example.com")
        await admin.users.SetRole(service.SetRoleRequest(id=user.id, role=user_pb2.User.ADMIN))
        ids.append(user.id)

    def remove(number: int, user_id: str) -> object:
        match number % 3:
            case 0:
                return admin.users.SetRole(service.SetRoleRequest(id=user_id, role=user_pb2.User.CUSTOMER))
            case 1:
                return admin.users.DisableUser(service.DisableUserRequest(id=user_id))
            case _:
                return admin.users.DeleteUser(service.DeleteUserRequest(id=user_id))

    calls = [remove(number, user_id) for number, user_id in enumerate(ids)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload]

    assert sum(isinstance(outcome, BaseException) for outcome in outcomes) == 1
    async with shop.service.database.reading() as connection:
        left = select(account.c.id).where(account.c.role == "ADMIN", account.c.state == "ACTIVE")
        assert len((await connection.execute(left)).all()) == 1


async def change_password(person: Person, current: str, new: str, user_id: str = "me") -> None:
    request = service.ChangePasswordRequest(id=user_id, current_password=current, new_password=new)
    await person.users.ChangePassword(request)
