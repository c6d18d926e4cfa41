"""Reading notifications over the real wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from mesh.errors import InvalidArgument, NotFound, Unauthenticated
from mesh.ids import uuid7
from tests.harness import refused
from tests.notification.conftest import Desk, Reader
from zoco.notification.v1 import notification_service_pb2 as service
from zoco.notification.v1.notification_pb2 import Notification, Preferences
from zoco.notification.v1.notification_service_pb2_grpc import NotificationServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def watching(reader: Reader, position: str = "") -> AsyncIterator[Any]:
    """A watch that is open already; its stream."""
    stream = reader.stub.WatchNotifications(service.WatchNotificationsRequest(position=position))
    await stream.initial_metadata()
    try:
        yield stream
    finally:
        stream.cancel()


async def next_notification(stream: Any) -> service.WatchNotificationsResponse:
    """The next message of a watch that is no heartbeat."""
    while True:
        message: service.WatchNotificationsResponse = await asyncio.wait_for(stream.read(), 10)
        if message.WhichOneof("message") == "notification":
            return message


async def update(reader: Reader, *paths: str, **fields: Any) -> Preferences:
    request = service.UpdatePreferencesRequest(
        preferences=Preferences(**fields), update_mask=FieldMask(paths=paths) if paths else None
    )
    preferences: Preferences = await reader.stub.UpdatePreferences(request)
    return preferences


async def test_a_list_goes_through_everything_once_newest_first(desk: Desk) -> None:
    reader = desk.reader()
    orders = [await desk.neighbours.confirm(reader.user_id) for _ in range(5)]
    await reader.having(5)

    seen, token = [], ""
    while True:
        page = await reader.page(page_size=2, page_token=token)
        assert page.total_size == 5
        seen += [told.order_id for told in page.notifications]
        token = page.next_page_token
        if not token:
            break

    assert seen == orders[::-1]


async def test_a_page_token_belongs_to_its_query(desk: Desk) -> None:
    reader = desk.reader()
    for _ in range(2):
        await desk.neighbours.confirm(reader.user_id)
    await reader.having(2)
    token = (await reader.page(page_size=1)).next_page_token

    for wrong in ({"page_token": token, "unread_only": True}, {"page_token": "made up"}):
        assert (await refused(reader.page(**wrong))).reason == "INVALID_PAGE_TOKEN"


async def test_what_was_read_is_no_longer_unread(desk: Desk) -> None:
    reader = desk.reader()
    for _ in range(2):
        await desk.neighbours.confirm(reader.user_id)
    newer, older = await reader.having(2)

    read = await reader.stub.MarkRead(service.MarkReadRequest(id=newer.id.upper()))
    again = await reader.stub.MarkRead(service.MarkReadRequest(id=newer.id))

    assert read.read
    assert read == again
    unread = await reader.page(unread_only=True)
    assert [told.id for told in unread.notifications] == [older.id]
    assert unread.total_size == 1


async def test_nobody_reads_another_persons_notifications(desk: Desk) -> None:
    alice, mallory = desk.reader(), desk.reader()
    await desk.neighbours.confirm(alice.user_id)
    (told,) = await alice.having(1)

    assert await mallory.all() == []
    for notification_id in (told.id, uuid7()):
        denied = await refused(mallory.stub.MarkRead(service.MarkReadRequest(id=notification_id)))
        assert isinstance(denied, NotFound)
        assert denied.reason == "RESOURCE_NOT_FOUND"
    assert not (await alice.all())[0].read


async def test_without_a_token_nothing_is_read(desk: Desk) -> None:
    stub: Any = NotificationServiceStub(desk.service.channel("edge"))

    missing = await refused(stub.ListNotifications(service.ListNotificationsRequest()))

    assert isinstance(missing, Unauthenticated)
    assert missing.reason == "TOKEN_MISSING"


async def test_a_watch_shows_what_comes_from_now_on(desk: Desk) -> None:
    reader = desk.reader()
    await desk.neighbours.confirm(reader.user_id)
    await reader.having(1)
    async with watching(reader) as stream:
        order_id = await desk.neighbours.confirm(reader.user_id)

        message = await next_notification(stream)

    assert message.notification.order_id == order_id
    assert message.position == "2"


async def test_a_watch_resumes_where_it_was_left(desk: Desk) -> None:
    reader = desk.reader()
    orders = [await desk.neighbours.confirm(reader.user_id) for _ in range(4)]
    await reader.having(4)

    async with watching(reader, position="1") as stream:
        seen = [await next_notification(stream) for _ in range(3)]

    assert [message.notification.order_id for message in seen] == orders[1:]
    assert [message.position for message in seen] == ["2", "3", "4"]


async def test_a_watch_shows_only_ones_own(desk: Desk) -> None:
    alice, mallory = desk.reader(), desk.reader()
    async with watching(mallory, position="0") as stream:
        await desk.neighbours.confirm(alice.user_id)
        await alice.having(1)
        own = await desk.neighbours.confirm(mallory.user_id)

        assert (await next_notification(stream)).notification.order_id == own


async def test_two_watches_see_the_same(desk: Desk) -> None:
    reader = desk.reader()
    async with watching(reader, position="0") as one, watching(reader, position="0") as other:
        for _ in range(10):
            await desk.neighbours.confirm(reader.user_id)

        seen = [[(await next_notification(stream)).notification.id for _ in range(10)] for stream in (one, other)]

    assert seen[0] == seen[1]


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "9" * 30, "\u0661"])
async def test_a_made_up_position_is_refused(desk: Desk, position: str) -> None:
    stream = desk.reader().stub.WatchNotifications(service.WatchNotificationsRequest(position=position))

    wrong = await refused(stream.read())

    assert isinstance(wrong, InvalidArgument)
    assert [violation.field for violation in wrong.field_violations] == ["position"]


async def test_everything_goes_out_by_mail_unless_said_otherwise(desk: Desk) -> None:
    preferences = await desk.reader().stub.GetPreferences(service.GetPreferencesRequest())

    assert preferences.email_enabled
    assert list(preferences.muted_kinds) == []
    assert not preferences.HasField("update_time")


async def test_preferences_change_only_in_what_is_given(desk: Desk) -> None:
    reader = desk.reader()

    muted = await update(reader, muted_kinds=[Notification.WELCOME, Notification.ORDER_SHIPPED])
    assert (muted.email_enabled, list(muted.muted_kinds)) == (True, [Notification.WELCOME, Notification.ORDER_SHIPPED])
    silent = await update(reader, email_enabled=False)
    assert (silent.email_enabled, len(silent.muted_kinds)) == (False, 2)
    assert await update(reader, email_enabled=False) == silent
    cleared = await update(reader, "muted_kinds")
    assert (cleared.email_enabled, len(cleared.muted_kinds)) == (False, 0)
    assert cleared == await reader.stub.GetPreferences(service.GetPreferencesRequest())


@pytest.mark.parametrize(
    ("paths", "fields", "field"),
    [
        (["nonsense"], {}, "update_mask"),
        ([], {"muted_kinds": [0]}, "preferences.muted_kinds[0]"),
        ([], {"muted_kinds": [99]}, "preferences.muted_kinds[0]"),
        ([], {"muted_kinds": [1, 1]}, "preferences.muted_kinds"),
    ],
)
async def test_preferences_that_break_a_rule_are_refused(
    desk: Desk, paths: list[str], fields: dict[str, Any], field: str
) -> None:
    wrong = await refused(update(desk.reader(), *paths, **fields))

    assert isinstance(wrong, InvalidArgument)
    assert [violation.field for violation in wrong.field_violations] == [field]


async def test_what_is_muted_is_told_in_the_shop_only(desk: Desk) -> None:
    reader = desk.reader()
    await update(reader, muted_kinds=[Notification.ORDER_CONFIRMED])
    await desk.neighbours.confirm(reader.user_id)
    await reader.having(1)
    await desk.neighbours.register(reader.user_id)

    welcome, confirmed = await reader.having(2)

    await desk.mail_of(welcome.id)
    assert not (desk.mail / f"{confirmed.id}.eml").exists()
