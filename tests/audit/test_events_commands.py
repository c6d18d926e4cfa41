"""`zoco events` on a running shop: what was given up comes back, what is told again has no second effect."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.events.moments import moment
from cli.failures import Failure
from cli.local.broker import OPERATOR, nats_url
from mesh.bus.envelope import Envelope
from mesh.bus.nats import NatsBus
from mesh.bus.port import Publication
from mesh.ids import uuid7
from tests.audit.conftest import Audited, until
from zoco.user.v1.user_events_pb2 import UserRegistered

FACTS = ("placement", "sale", "sale_line", "refund", "registration")


async def publish(audited: Audited, *publications: Publication) -> None:
    """Past every outbox, as whoever runs the broker may."""
    home = audited.shop.home
    ports = json.loads((home / "run.json").read_text())["ports"]
    password = json.loads((home / "secrets.json").read_text())["nats"]
    bus = NatsBus(nats_url(ports["nats"], OPERATOR, password), name=OPERATOR)
    await bus.start()
    try:
        async with asyncio.timeout(10):
            while not bus.connected:  # noqa: ASYNC110 - the connection is made in the background
                await asyncio.sleep(0.05)
        assert all(isinstance(stored, int) for stored in await bus.publish(publications))
    finally:
        await bus.close()


def registered(user_id: str, event_id: str) -> tuple[Publication, bytes]:
    """The message that carries an event, its payload damaged, and the payload it should have."""
    event = UserRegistered(user_id=user_id, email="poison@example.com", display_name="P")
    event.register_time.FromDatetime(datetime.now(UTC))
    envelope = Envelope(event_id, event.DESCRIPTOR.full_name, "/zoco/user", user_id, 1, datetime.now(UTC), uuid7())
    return envelope.publication(b"\xff\xff\xff"), event.SerializeToString()


def dead(audited: Audited) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = json.loads(audited.shop.zoco("events", "dead", "--json").stdout)
    return letters


def forget(audited: Audited, user_id: str, event_id: str) -> None:
    """Takes back all that came of an event."""
    heard = "DELETE FROM inbox WHERE event_id = %(event)s"
    audited.do("user", "DELETE FROM outbox WHERE event_id = %(event)s", event=event_id)
    for service, table in (
        ("analytics", "registration"),
        ("notification", "notification"),
        ("notification", "contact"),
    ):
        audited.do(service, "DELETE FROM dead_letter", heard, event=event_id)
        audited.do(service, f"DELETE FROM {table} WHERE user_id = %(user)s", user=user_id)  # noqa: S608 - named above


@contextmanager
def poisoned(audited: Audited) -> Iterator[tuple[str, bytes]]:
    """An event that user has told, and that arrived damaged: its id and the payload it should have."""
    user_id, event_id = uuid7(), uuid7()
    publication, good = registered(user_id, event_id)
    told = (
        "INSERT INTO outbox (event_id, aggregate_id, version, type, payload, correlation_id, traceparent, time, "
        "published_at) VALUES (%(event)s, %(user)s, 1, 'zoco.user.v1.UserRegistered', '', '', '', now(), now())"
    )
    audited.do("user", told, event=event_id, user=user_id)
    asyncio.run(publish(audited, publication))
    until(lambda: len(dead(audited)) == 2)
    try:
        yield event_id, good
    finally:
        for service in ("analytics", "notification"):
            audited.do(
                service, "DELETE FROM dead_letter", "DELETE FROM inbox WHERE event_id = %(event)s", event=event_id
            )
        audited.do("user", "DELETE FROM outbox WHERE event_id = %(event)s", event=event_id)
        audited.do("analytics", "DELETE FROM registration WHERE user_id = %(user)s", user=user_id)
        audited.do("notification", "DELETE FROM notification WHERE user_id = %(user)s", user=user_id)
        audited.do("notification", "DELETE FROM contact WHERE user_id = %(user)s", user=user_id)


def test_poison_is_listed_alerted_and_taken_back_when_it_is_mended(audited: Audited) -> None:
    with poisoned(audited) as (event_id, good):
        letters = dead(audited)
        assert {each["service"] for each in letters} == {"analytics", "notification"}
        assert all("the payload is no zoco.user.v1.UserRegistered" in each["reason"] for each in letters)
        shown = audited.shop.zoco("events", "dead").stdout
        assert "UserRegistered" in shown
        assert letters[0]["eventId"] in shown.replace("\n", "")

        # It is told of in three ways, and stops nobody.
        found = asyncio.run(audited.broken())
        assert set(found) == {"I9"}
        assert asyncio.run(audited.broken(poison=2)) == {}
        lines = audited.shop.logs("analytics")
        assert any(line["event"] == "event set aside" and line["level"] == "error" for line in lines)

        refused = audited.shop.zoco("events", "retry", "--all", check=False)
        assert refused.returncode == 1
        assert "2 of 2 failed again" in refused.stderr
        assert len(dead(audited)) == 2

        for service in ("analytics", "notification"):
            mend = "UPDATE dead_letter SET payload = decode(%(good)s, 'hex')"
            audited.do(service, mend, good=good.hex())
        [ours] = [each["eventId"] for each in dead(audited) if each["service"] == "analytics"]
        assert audited.shop.zoco("events", "retry", ours, "analytics").stdout == "1 handled.\n"
        assert audited.shop.zoco("events", "retry", "--all").stdout == "1 handled.\n"
        assert dead(audited) == []
        effects = audited.rows("analytics", "SELECT count(*) FROM inbox WHERE event_id = %(event)s", event=event_id)
        assert effects == [(1,)]
        assert asyncio.run(audited.broken()) == {}


def test_an_event_from_the_future_is_set_aside_and_what_it_has_more_is_passed_over(audited: Audited) -> None:
    """An unknown field is how contracts grow; an unknown type under a known subject is not."""
    user_id, event_id = uuid7(), uuid7()
    publication, good = registered(user_id, event_id)
    grown = Publication(publication.id, publication.subject, good + b"\xfa\x3f\x03new", publication.headers)
    strange = Publication(
        uuid7(),
        publication.subject,
        good,
        {**publication.headers, "ce-id": uuid7(), "ce-type": "zoco.user.v2.UserRegistered"},
    )
    asyncio.run(publish(audited, grown, strange))
    try:
        until(lambda: len(dead(audited)) == 2)
        assert all("zoco.user.v2.UserRegistered" in each["reason"] for each in dead(audited))
        query = "SELECT count(*) FROM registration WHERE user_id = %(user)s"
        until(lambda: audited.rows("analytics", query, user=user_id) == [(1,)])
    finally:
        for service in ("analytics", "notification"):
            audited.do(
                service, "DELETE FROM dead_letter", "DELETE FROM inbox WHERE event_id = %(event)s", event=event_id
            )
        audited.do("analytics", "DELETE FROM registration WHERE user_id = %(user)s", user=user_id)
        audited.do("notification", "DELETE FROM notification WHERE user_id = %(user)s", user=user_id)
        audited.do("notification", "DELETE FROM contact WHERE user_id = %(user)s", user=user_id)
    assert asyncio.run(audited.broken()) == {}


def test_events_told_again_have_no_second_effect(audited: Audited) -> None:
    before = effects(audited)
    told = audited.shop.zoco("events", "republish", "--since", "1d")
    assert "of order" in told.stdout
    assert asyncio.run(audited.broken()) == {}
    assert effects(audited) == before


def effects(audited: Audited) -> dict[str, Any]:
    """All that events lead to."""
    return {
        "facts": facts(audited),
        "notifications": audited.rows("notification", "SELECT id, sequence, event_id FROM notification ORDER BY 1"),
        "mails": audited.rows("notification", "SELECT notification_id FROM mail ORDER BY 1"),
        "available": audited.rows("product", "SELECT product_id, available, version FROM availability ORDER BY 1"),
        "stock": audited.rows("inventory", "SELECT * FROM stock ORDER BY 1"),
    }


def facts(audited: Audited) -> dict[str, Any]:
    query = "SELECT * FROM {table} ORDER BY 1, 2"
    return {table: audited.rows("analytics", query.format(table=table)) for table in FACTS}


def test_a_rebuild_of_analytics_ends_with_the_same_rows(audited: Audited) -> None:
    assert asyncio.run(audited.broken()) == {}
    before = facts(audited)
    assert all(before.values())
    audited.do("analytics", "UPDATE sale SET amount = amount + 1")
    assert "I8" in asyncio.run(audited.broken())
    done = audited.shop.zoco("events", "rebuild", "analytics")
    assert "events noted anew" in done.stdout
    assert facts(audited) == before
    assert asyncio.run(audited.broken()) == {}


def test_a_rebuild_of_order_ends_with_the_same_rows(audited: Audited) -> None:
    query = "SELECT * FROM orders ORDER BY id"
    before = audited.rows("order", query)
    audited.do("order", "UPDATE orders SET state = 'PENDING', cancel_reason = 'none'")
    done = audited.shop.zoco("events", "rebuild", "order")
    assert f"{len(before)} orders written anew" in done.stdout
    assert audited.rows("order", query) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("dead", "nobody"), "nobody is no service with a database"),
        (("retry",), "Say which dead letter"),
        (("retry", "--all", "nobody"), "nobody is no service with a database"),
        (("retry", "17"), "There is no dead letter 17"),
        (("republish", "--since", "yesterday"), "'yesterday' is no time"),
        (("republish", "--since", "1h", "nobody"), "nobody is no service with a database"),
        (("rebuild", "nobody"), "nobody is no service with a database"),
        (("rebuild", "user"), "user has nothing that could be made anew"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(audited: Audited, arguments: tuple[str, ...], sentence: str) -> None:
    refused = audited.shop.zoco("events", *arguments, check=False)
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_moment_is_how_long_ago_or_when() -> None:
    now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    assert moment("90m", now=now) == datetime(2026, 11, 28, 10, 30, tzinfo=UTC)
    assert moment("7d", now=now) == datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    assert moment("2026-11-28T09:30", now=now) == datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
    assert moment("2026-11-28T09:30+02:00", now=now) == datetime(2026, 11, 28, 7, 30, tzinfo=UTC)
    for odd in ("", "soon", "5", "1y", "2026-13-01", "2026-11-29"):
        with pytest.raises(Failure):
            moment(odd, now=now)
