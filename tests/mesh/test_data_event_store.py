"""Streams of events: gapless, appended by one at a time, and readable as of any moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from mesh.data import Database, Transaction
from mesh.data.event_store import NEW_STREAM, ConcurrencyConflict, EventStore, NewEvent, StoredEvent
from mesh.errors import Aborted
from tests.fixtures.servers import Postgres
from tests.mesh.ledger import EVENTS, opened, prepare

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
STORE = EventStore(EVENTS)


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
