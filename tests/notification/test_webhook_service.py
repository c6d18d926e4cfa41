"""Keeping webhooks over the real wire: secrets that are shown once, URLs that lead nowhere inside, versions, pages."""

import json
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from mesh.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from mesh.ids import uuid7
from services.notification.settings import NotificationSettings
from tests.harness import refused
from tests.notification.administrator import Administrator
from tests.notification.conftest import EAGER, Desk
from zoco.notification.v1 import webhook_service_pb2 as service
from zoco.notification.v1.webhook_pb2 import Webhook
from zoco.notification.v1.webhook_service_pb2_grpc import WebhookServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="module")


def url() -> str:
    """One that nobody has, and that leads to nobody."""
    return f"https://receiver.invalid/{uuid7()}"


@pytest.fixture
def keeper(eager: Desk) -> Administrator:
    return Administrator.of(eager)


async def test_a_webhook_is_made_enabled_and_shows_its_secret_once(keeper: Administrator) -> None:
    made = await keeper.create(url(), event_types=["order.shipped", "order.placed"])
    read = await keeper.get(made.id)

    assert made.secret.startswith("whsec_")
    assert made.enabled
    assert not made.disable_reason
    assert list(made.event_types) == ["order.shipped", "order.placed"]
    assert (made.etag, made.create_time) == ("1", made.update_time)
    assert not read.secret
    made.ClearField("secret")
    assert read == made


async def test_no_answer_but_two_holds_a_secret(keeper: Administrator) -> None:
    made = await keeper.create(url(), secret="whsec_" + "A" * 43 + "=")
    rotated = await keeper.rotate(made.id)
    listed: service.ListWebhooksResponse = await keeper.stub.ListWebhooks(service.ListWebhooksRequest(page_size=100))
    changed = await keeper.update(made.id, enabled=False)

    assert made.secret != "whsec_" + "A" * 43 + "=", "nobody chooses one"
    assert rotated.secret not in {"", made.secret}
    assert not any(each.secret for each in (*listed.webhooks, changed, await keeper.get(made.id)))


async def test_no_secret_stands_in_the_database_or_the_log(
    eager: Desk, keeper: Administrator, capfd: pytest.CaptureFixture[str]
) -> None:
    made = await keeper.create(url())
    rotated = await keeper.rotate(made.id)
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    async with eager.service.database.reading() as connection:
        names = (await connection.execute(text(tables))).scalars().all()
        rows = [
            (await connection.execute(text(f'SELECT row_to_json(r)::text FROM "{name}" AS r'))).scalars().all()  # noqa: S608 - the names are the catalog's
            for name in names
        ]
    kept = "\n".join(row for table in rows for row in table)
    logged = "".join(capfd.readouterr())

    assert "webhook_secret" in names
    for secret in (made.secret, rotated.secret):
        raw = secret.removeprefix("whsec_")
        assert raw not in kept
        assert raw not in logged
    assert made.url not in logged, "a URL may hold a token of its owner's"


async def test_one_url_is_one_webhook_so_that_a_repeat_makes_no_second(keeper: Administrator) -> None:
    address = url()
    made = await keeper.create(address)

    for again in (address, address.replace("receiver.invalid", "RECEIVER.invalid:443")):
        error = await refused(keeper.create(again))
        assert isinstance(error, AlreadyExists)
        assert (error.reason, error.metadata) == ("NAME_TAKEN", {"resource": "webhook"})
    other = await keeper.create(url())
    assert isinstance(await refused(keeper.update(other.id, url=address)), AlreadyExists)
    await keeper.delete(made.id)
    assert (await keeper.update(other.id, url=address)).url == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "ftp://example.com/",
        "https://user:password@example.com/",
        "https://example.com/#here",
        "https://example.com/\0",
        "https://" + "a" * 2050,
    ],
)
async def test_a_url_that_leads_inside_or_nowhere_is_an_invalid_field(keeper: Administrator, address: str) -> None:
    made = await keeper.create(url())
    for error in (await refused(keeper.create(address)), await refused(keeper.update(made.id, "url", url=address))):
        assert isinstance(error, InvalidArgument)
        assert error.reason == "INVALID_FIELD"
        assert [violation.field for violation in error.field_violations] == ["webhook.url"]
    assert (await keeper.get(made.id)).url == made.url


async def test_an_update_changes_what_its_mask_names(keeper: Administrator) -> None:
    made = await keeper.create(url(), event_types=["order.placed"])
    unmasked = await keeper.update(made.id, event_types=["order.refunded"])
    cleared = await keeper.update(made.id, "event_types")
    disabled = await keeper.update(made.id, "enabled", enabled=False, event_types=["order.placed"])
    same = await keeper.update(made.id, "enabled", enabled=False)

    assert (list(unmasked.event_types), unmasked.url, unmasked.enabled) == (["order.refunded"], made.url, True)
    assert list(cleared.event_types) == []
    assert (disabled.enabled, disabled.disable_reason) == (False, Webhook.BY_ADMINISTRATOR)
    assert list(disabled.event_types) == []
    assert [each.etag for each in (unmasked, cleared, disabled, same)] == ["2", "3", "4", "4"]


@pytest.mark.parametrize("path", ["secret", "id", "disable_reason", "create_time", "etag"])
async def test_what_only_goes_out_counts_for_nothing_in_a_mask(keeper: Administrator, path: str) -> None:
    made = await keeper.create(url())
    changed = await keeper.update(made.id, path, secret="whsec_x")
    assert changed.secret == "", "it is shown once, when it is made"
    made.ClearField("secret")
    assert changed == made


async def test_what_there_is_not_cannot_be_changed(keeper: Administrator) -> None:
    made = await keeper.create(url())
    error = await refused(keeper.update(made.id, "nonsense"))
    assert (error.reason, [each.field for each in error.field_violations]) == ("INVALID_FIELD", ["update_mask"])


async def test_enabled_must_be_said_where_the_mask_names_it(keeper: Administrator) -> None:
    made = await keeper.create(url())
    error = await refused(keeper.update(made.id, "enabled"))
    assert (error.reason, [each.field for each in error.field_violations]) == ("INVALID_FIELD", ["webhook.enabled"])


async def test_a_stale_version_changes_and_deletes_nothing(keeper: Administrator) -> None:
    made = await keeper.create(url())
    await keeper.update(made.id, enabled=False, etag=made.etag)

    for error in (
        await refused(keeper.update(made.id, enabled=True, etag=made.etag)),
        await refused(keeper.delete(made.id, etag=made.etag)),
    ):
        assert isinstance(error, Aborted)
        assert (error.reason, error.metadata) == ("ETAG_STALE", {"etag": "2"})
    assert not (await keeper.get(made.id)).enabled
    await keeper.delete(made.id, etag="2")
    assert isinstance(await refused(keeper.get(made.id)), NotFound)


@pytest.mark.parametrize("event_type", ["order.unknown", "", "user.deleted"])
async def test_an_event_type_that_there_is_not_is_an_invalid_field(keeper: Administrator, event_type: str) -> None:
    error = await refused(keeper.create(url(), event_types=[event_type]))
    assert (error.reason, error.field_violations[0].field) == ("INVALID_FIELD", "webhook.event_types[0]")


@pytest.mark.parametrize("overlap", [-1, 604_801])
async def test_old_secrets_hold_for_a_week_at_most(keeper: Administrator, overlap: int) -> None:
    made = await keeper.create(url())
    error = await refused(keeper.rotate(made.id, overlap))
    assert (error.reason, error.field_violations[0].field) == ("INVALID_FIELD", "overlap")


async def test_a_list_goes_through_everything_once_newest_first(keeper: Administrator) -> None:
    made = [(await keeper.create(url())).id for _ in range(5)]

    seen: list[str] = []
    token = ""
    while True:
        request = service.ListWebhooksRequest(page_size=2, page_token=token)
        page: service.ListWebhooksResponse = await keeper.stub.ListWebhooks(request)
        seen += [each.id for each in page.webhooks]
        token = page.next_page_token
        if not token:
            break
    assert seen[:5] == made[::-1]
    assert len(seen) == len(set(seen)) == page.total_size


async def test_the_log_of_deliveries_comes_in_pages_that_belong_to_their_query(keeper: Administrator) -> None:
    made, other = await keeper.create(url()), await keeper.create(url())
    request = service.ListWebhookDeliveriesRequest(webhook_id=made.id, page_size=1)
    empty: service.ListWebhookDeliveriesResponse = await keeper.stub.ListWebhookDeliveries(request)
    assert (list(empty.deliveries), empty.next_page_token, empty.total_size) == ([], "", 0)

    for wrong in ("nonsense", json.dumps([other.id])):
        error = await refused(keeper.log(made.id, page_token=wrong))
        assert error.reason == "INVALID_PAGE_TOKEN"
    assert isinstance(await refused(keeper.log(uuid7())), NotFound)


async def test_webhooks_are_for_administrators_alone(eager: Desk) -> None:
    calls: list[tuple[str, Any]] = [
        ("CreateWebhook", service.CreateWebhookRequest(webhook=Webhook(url=url()))),
        ("GetWebhook", service.GetWebhookRequest(id=uuid7())),
        ("ListWebhooks", service.ListWebhooksRequest()),
        ("UpdateWebhook", service.UpdateWebhookRequest(webhook=Webhook(id=uuid7()))),
        ("DeleteWebhook", service.DeleteWebhookRequest(id=uuid7())),
        ("RotateWebhookSecret", service.RotateWebhookSecretRequest(id=uuid7())),
        ("ListWebhookDeliveries", service.ListWebhookDeliveriesRequest(webhook_id=uuid7())),
        ("RedeliverWebhook", service.RedeliverWebhookRequest(webhook_id=uuid7(), id=uuid7())),
    ]
    customer = WebhookServiceStub(eager.service.channel("edge", eager.tokens.customer()))
    nobody = WebhookServiceStub(eager.service.channel("edge"))
    for name, request in calls:
        assert isinstance(await refused(getattr(customer, name)(request)), PermissionDenied)
        assert isinstance(await refused(getattr(nobody, name)(request)), Unauthenticated)


async def test_without_a_key_no_webhook_is_made_and_everything_else_goes_on(desk: Desk) -> None:
    error = await refused(Administrator.of(desk).create(url()))

    assert isinstance(error, FailedPrecondition)
    assert error.reason == "WEBHOOKS_OFF"
    assert await desk.reader().all() == []


async def test_without_leave_nothing_goes_in_clear_or_to_loopback(desk: Desk) -> None:
    for address in ("http://example.com/", "https://127.0.0.1/"):
        assert (await refused(Administrator.of(desk).create(address))).reason == "INVALID_FIELD"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ZOCO_WEBHOOK_KEYS": "short"},
        {"ZOCO_WEBHOOK_NETWORKS": "10.0.0.1/8"},
        {"ZOCO_WEBHOOK_NETWORKS": "everywhere"},
        {"ZOCO_WEBHOOK_CA_FILE": "/nowhere/ca.pem"},
        {"ZOCO_WEBHOOK_LEASE_SECONDS": 1, "ZOCO_WEBHOOK_TIMEOUT_SECONDS": 2},
    ],
)
async def test_a_setting_that_cannot_be_is_refused_at_start(eager: Desk, wrong: dict[str, Any]) -> None:
    good = {"ZOCO_PKI_DIR": eager.service.pki / "notification", "ZOCO_MAIL_DIR": eager.mail, **EAGER}
    NotificationSettings.model_validate(good)
    with pytest.raises(ValidationError, match=next(iter(wrong))) as told:
        NotificationSettings.model_validate({**good, **wrong})
    assert not any("short" in error["msg"] for error in told.value.errors())
