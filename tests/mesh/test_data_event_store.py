"""Streams of events: gapless, appended by one at a time, and readable as of any moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from mesh.data import Database, Transaction
from mesh.data.event_store import NEW_STREAM, ConcurrencyConflict, EventStore, NewEvent, Snapshot, StoredEvent, Tail
from mesh.errors import Aborted
from tests.fixtures.servers import Postgres
from tests.mesh.ledger import EVENTS, SNAPSHOTS, opened, prepare, scalar

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
STORE = EventStore(EVENTS, SNAPSHOTS, schema=2)
OLDER, NEWER = (EventStore(EVENTS, SNAPSHOTS, schema=schema) for schema in (1, 3))


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    async with opened(await postgres.prepared("ledger", prepare)) as database:
        yield database


def event(name: str, hour: int = 0) -> NewEvent:
    return NewEvent(name, name.encode(), NOON + timedelta(hours=hour), {"by": "test", "nested": {"deep": [1, None]}})


async def append(database: Database, *events: NewEvent, expected: int, stream: str = "order-1") -> int:
    async def work(tx: Transaction) -> int:
        return await STORE.append(tx, stream, events, expected)

    return await database.transact(work)


async def load(database: Database, stream: str = "order-1", **which: object) -> list[StoredEvent]:
    async with database.reading() as connection:
        return await STORE.load(connection, stream, **which)  # type: ignore[arg-type] # passed through


async def test_what_was_appended_is_loaded_as_it_was(database: Database) -> None:
    assert await append(database, event("placed"), event("paid", 1), expected=NEW_STREAM) == 2
    assert await append(database, event("shipped", 2), expected=2) == 3
    assert await load(database) == [
        StoredEvent(
            version, name, name.encode(), {"by": "test", "nested": {"deep": [1, None]}}, NOON + timedelta(hours=hour)
        )
        for version, name, hour in [(1, "placed", 0), (2, "paid", 1), (3, "shipped", 2)]
    ]


async def test_streams_do_not_meet(database: Database) -> None:
    await append(database, event("placed"), expected=NEW_STREAM)
    await append(database, event("placed"), expected=NEW_STREAM, stream="order-2")
    assert [len(await load(database, stream)) for stream in ("order-1", "order-2", "order-3")] == [1, 1, 0]


@pytest.mark.parametrize("expected", [0, 1, 3, 10])
async def test_a_stream_at_another_version_refuses(database: Database, expected: int) -> None:
    await append(database, event("placed"), event("paid"), expected=NEW_STREAM)
    with pytest.raises(ConcurrencyConflict) as raised:
        await append(database, event("shipped"), expected=expected)
    assert (raised.value.stream_id, raised.value.expected_version) == ("order-1", expected)
    assert isinstance(raised.value, Aborted)
    assert [each.version for each in await load(database)] == [1, 2]


async def test_of_many_who_append_at_once_one_gets_through(database: Database) -> None:
    async def attempt(number: int) -> bool:
        try:
            # Of different lengths, so that a partly overlapping append would show as a gap or a mix.
            await append(database, *(event(f"{number}") for _ in range(1 + number % 3)), expected=NEW_STREAM)
        except ConcurrencyConflict:
            return False
        return True

    won = await asyncio.gather(*(attempt(number) for number in range(12)))
    stored = await load(database)
    assert won.count(True) == 1
    assert {each.type for each in stored} == {str(won.index(True))}
    assert [each.version for each in stored] == list(range(1, len(stored) + 1))


async def test_a_part_of_a_stream_is_loaded_after_a_version(database: Database) -> None:
    await append(database, *(event(str(number)) for number in range(5)), expected=NEW_STREAM)
    assert [each.version for each in await load(database, after=3)] == [4, 5]


async def test_the_past_is_loaded_as_of_a_moment(database: Database) -> None:
    await append(database, event("placed", 0), event("paid", 1), event("shipped", 2), expected=NEW_STREAM)
    moments = {-1: [], 0: ["placed"], 1: ["placed", "paid"], 9: ["placed", "paid", "shipped"]}
    for hour, names in moments.items():
        assert [each.type for each in await load(database, until=NOON + timedelta(hours=hour))] == names


async def test_the_past_has_no_gap_even_if_a_clock_went_back(database: Database) -> None:
    await append(database, event("placed", 0), event("paid", 5), event("shipped", 1), expected=NEW_STREAM)
    assert [each.type for each in await load(database, until=NOON + timedelta(hours=2))] == ["placed"]


async def test_an_append_is_gone_with_its_transaction(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await STORE.append(tx, "order-1", [event("placed")], NEW_STREAM)
        raise ConnectionError("the process dies here")

    with pytest.raises(ConnectionError):
        await database.transact(work)
    assert await load(database) == []


async def test_nothing_to_append_is_a_mistake(database: Database) -> None:
    with pytest.raises(ValueError, match="nothing"):
        await append(database, expected=NEW_STREAM)


async def keep(database: Database, version: int, *, hour: int = 0, store: EventStore = STORE) -> Snapshot:
    snapshot = Snapshot(version, f"as of {version}".encode(), NOON + timedelta(hours=hour))

    async def work(tx: Transaction) -> None:
        await store.keep(tx, "order-1", snapshot)

    await database.transact(work)
    return snapshot


async def load_tail(database: Database, *, store: EventStore = STORE, until_hour: int | None = None) -> Tail:
    until = None if until_hour is None else NOON + timedelta(hours=until_hour)
    async with database.reading() as connection:
        return await store.load_tail(connection, "order-1", until=until)


def versions(tail: Tail) -> tuple[int | None, list[int]]:
    return tail.snapshot.version if tail.snapshot else None, [each.version for each in tail.events]


async def test_a_stream_is_read_from_its_newest_snapshot_on(database: Database) -> None:
    await append(database, *(event(str(number), number) for number in range(1, 8)), expected=NEW_STREAM)
    assert versions(await load_tail(database)) == (None, [1, 2, 3, 4, 5, 6, 7])
    await keep(database, 2, hour=2)
    newest = await keep(database, 5, hour=5)
    tail = await load_tail(database)
    assert tail.snapshot == newest
    assert tail.events == await load(database, after=5)


async def test_a_snapshot_of_the_last_version_leaves_nothing_to_fold(database: Database) -> None:
    await append(database, event("placed"), event("paid"), expected=NEW_STREAM)
    await keep(database, 2)
    assert versions(await load_tail(database)) == (2, [])


async def test_a_stream_that_is_not_there_has_no_tail(database: Database) -> None:
    assert await load_tail(database) == Tail(None, [])


async def test_the_past_begins_with_the_newest_snapshot_it_knew(database: Database) -> None:
    await append(database, *(event(str(number), number) for number in range(1, 8)), expected=NEW_STREAM)
    await keep(database, 2, hour=2)
    await keep(database, 5, hour=5)
    for hour, expected in {
        0: (None, []),
        1: (None, [1]),
        2: (2, []),
        4: (2, [3, 4]),
        5: (5, []),
        6: (5, [6]),
        99: (5, [6, 7]),
    }.items():
        assert versions(await load_tail(database, until_hour=hour)) == expected


async def test_the_past_from_a_snapshot_has_no_gap_even_if_a_clock_went_back(database: Database) -> None:
    await append(database, event("1", 1), event("2", 2), event("3", 9), event("4", 3), expected=NEW_STREAM)
    await keep(database, 2, hour=2)
    assert versions(await load_tail(database, until_hour=5)) == (2, [])


async def test_a_snapshot_of_another_form_is_passed_over_and_an_older_one_replaced(database: Database) -> None:
    await append(database, *(event(str(number)) for number in range(1, 8)), expected=NEW_STREAM)
    await keep(database, 3, store=OLDER)
    await keep(database, 6, store=NEWER)
    assert versions(await load_tail(database)) == (None, [1, 2, 3, 4, 5, 6, 7])
    await keep(database, 5)
    assert versions(await load_tail(database)) == (5, [6, 7])
    # During an update both codes run: the newer one keeps its own, the older one does without.
    assert versions(await load_tail(database, store=NEWER)) == (6, [7])
    assert versions(await load_tail(database, store=OLDER)) == (None, [1, 2, 3, 4, 5, 6, 7])
    assert await scalar(database, "SELECT array_agg(version ORDER BY version) FROM snapshots") == [5, 6]


async def test_a_snapshot_is_gone_with_its_transaction(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await STORE.append(tx, "order-1", [event("placed")], NEW_STREAM)
        await STORE.keep(tx, "order-1", Snapshot(1, b"placed", NOON))
        raise ConnectionError("the process dies here")

    with pytest.raises(ConnectionError):
        await database.transact(work)
    assert await load_tail(database) == Tail(None, [])


async def test_a_store_without_snapshots_reads_the_events(database: Database) -> None:
    await append(database, event("placed"), event("paid"), expected=NEW_STREAM)
    assert versions(await load_tail(database, store=EventStore(EVENTS))) == (None, [1, 2])
    with pytest.raises(LookupError):
        await keep(database, 2, store=EventStore(EVENTS))
