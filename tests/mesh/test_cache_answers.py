"""What a process remembers: bounded in number, size and age, and found again by the ids it tells of."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client import Counter

from mesh.errors import DeadlineExceeded, NotFound, not_found
from mesh.ids import uuid7
from mesh.pipeline.answers import AnswerCache, Key, ids_in
from mesh.tuning import CacheTuning


@dataclass
class Remembering:
    """A cache on a clock of its own."""

    max_entries: int = 100
    max_bytes: int = 1_000_000
    now: float = 1000.0
    reads: int = 0
    cache: AnswerCache = field(init=False)

    def __post_init__(self) -> None:
        tuning = CacheTuning(max_entries=self.max_entries, max_bytes=self.max_bytes)
        self.cache = AnswerCache(tuning, Counter("dropped", "", registry=None), now=lambda: self.now)

    async def read(self, request: str, answer: str = "answer", *, ttl: float = 10, open_ended: bool = False) -> str:
        async def fetch() -> bytes:
            self.reads += 1
            return answer.encode()

        key = _key(request)
        return (self.cache.find(key) or await self.cache.read(key, fetch, ttl=ttl, open_ended=open_ended)).decode()


def _key(request: str) -> Key:
    return "/a/b", request.encode()


def answering(answer: bytes, *, after: asyncio.Event) -> Callable[[], Awaitable[bytes]]:
    async def fetch() -> bytes:
        await after.wait()
        return answer

    return fetch


def test_ids_are_found_in_a_message_in_either_case() -> None:
    one, other = uuid7(), uuid7()
    assert ids_in(b"\x0a$" + one.encode() + b"\x12\x24" + other.upper().encode() + b"x") == {one, other}


async def test_an_answer_is_as_old_as_the_beginning_of_its_read() -> None:
    remembering = Remembering()

    async def slow() -> bytes:
        remembering.now += 4
        return b"slow"

    await remembering.cache.read(_key("a"), slow, ttl=5, open_ended=False)
    assert remembering.cache.find(_key("a")) == b"slow"
    remembering.now += 1
    assert remembering.cache.find(_key("a")) is None


async def test_the_answer_used_longest_ago_makes_room() -> None:
    remembering = Remembering(max_entries=2)
    await remembering.read("a")
    await remembering.read("b")
    await remembering.read("a")
    await remembering.read("c")

    assert [remembering.cache.find(_key(each)) is not None for each in "abc"] == [True, False, True]


async def test_answers_never_take_more_bytes_than_they_may() -> None:
    remembering = Remembering(max_bytes=20_000)
    for index in range(50):
        await remembering.read(f"{uuid7()} {index}", "x" * 1000)
        assert remembering.cache.size <= 20_000
    await remembering.read("large", "x" * 20_000)
    assert remembering.cache.find(_key("large")) is None


async def test_what_is_dropped_leaves_nothing_behind() -> None:
    remembering = Remembering()
    product = uuid7()
    await remembering.read(product, open_ended=True)
    await remembering.read("list", product)
    remembering.cache.invalidate(frozenset({product}))

    assert (len(remembering.cache), remembering.cache.size) == (0, 0)
    assert not remembering.cache._mentioned
    assert not remembering.cache._open_ended
    assert not remembering.cache._readings


async def test_a_change_drops_what_mentions_it_and_every_list() -> None:
    remembering = Remembering()
    changed, other, category = uuid7(), uuid7(), uuid7()
    await remembering.read(f"by id {changed}")
    await remembering.read(f"by another id {category}", f"tells of {changed.upper()}")
    await remembering.read("all")
    await remembering.read(f"page of {category}", open_ended=True)
    await remembering.read(f"by id {other}")

    remembering.cache.invalidate(frozenset({changed}))

    assert len(remembering.cache) == 1
    assert remembering.cache.find(_key(f"by id {other}")) is not None


@pytest.mark.parametrize("ids", [frozenset[str](), frozenset({"not-a-uuid"})], ids=["nothing named", "no uuid"])
async def test_where_nobody_knows_what_changed_all_is_dropped(ids: frozenset[str]) -> None:
    remembering = Remembering()
    await remembering.read(uuid7())
    remembering.cache.invalidate(ids)
    assert len(remembering.cache) == 0


async def test_an_answer_read_before_a_change_is_not_remembered_after_it() -> None:
    remembering = Remembering()
    changed, other, go = uuid7(), uuid7(), asyncio.Event()
    reads = {
        each: asyncio.create_task(
            remembering.cache.read(_key(each), answering(b"old", after=go), ttl=10, open_ended=False)
        )
        for each in (changed, other)
    }
    await asyncio.sleep(0.01)

    remembering.cache.invalidate(frozenset({changed}))
    go.set()

    assert await asyncio.gather(*reads.values()) == [b"old", b"old"]
    assert remembering.cache.find(_key(changed)) is None
    assert remembering.cache.find(_key(other)) == b"old"


async def test_who_asks_after_a_change_does_not_wait_for_a_read_from_before() -> None:
    remembering = Remembering()
    go, request = asyncio.Event(), uuid7()
    before = asyncio.create_task(
        remembering.cache.read(_key(request), answering(b"old", after=go), ttl=10, open_ended=False)
    )
    await asyncio.sleep(0.01)
    remembering.cache.invalidate(frozenset({uuid7()}))

    async with asyncio.timeout(5):
        assert await remembering.read(request, "new") == "new"

    go.set()
    assert await before == b"old"


async def test_many_who_miss_at_once_share_one_read() -> None:
    remembering = Remembering()
    answers = await asyncio.gather(*(remembering.read("a") for _ in range(50)))

    assert set(answers) == {"answer"}
    assert remembering.reads == 1


async def test_a_reader_that_leaves_takes_nobody_with_it() -> None:
    remembering = Remembering()
    go = asyncio.Event()
    fetch = answering(b"answer", after=go)
    leader, follower = (
        asyncio.create_task(remembering.cache.read(_key("a"), fetch, ttl=10, open_ended=False)) for _ in range(2)
    )
    await asyncio.sleep(0.01)

    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    go.set()

    assert await follower == b"answer"


async def test_a_read_that_nobody_waits_for_is_ended() -> None:
    remembering = Remembering()
    ended = asyncio.Event()

    async def fetch() -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("unreachable")

    readers = [
        asyncio.create_task(remembering.cache.read(_key("a"), fetch, ttl=10, open_ended=False)) for _ in range(2)
    ]
    await asyncio.sleep(0.01)
    for reader in readers:
        reader.cancel()
    async with asyncio.timeout(5):
        await ended.wait()

    assert await remembering.read("a") == "answer"


async def test_a_deadline_that_was_over_for_the_first_reader_fails_nobody_else() -> None:
    remembering = Remembering()
    go, attempts = asyncio.Event(), 0

    async def fetch() -> bytes:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await go.wait()
            raise DeadlineExceeded("DEADLINE_OVER", "too late for the first")
        return b"answer"

    leader, follower = (
        asyncio.create_task(remembering.cache.read(_key("a"), fetch, ttl=10, open_ended=False)) for _ in range(2)
    )
    await asyncio.sleep(0.01)
    go.set()

    with pytest.raises(DeadlineExceeded):
        await leader
    assert await follower == b"answer"


async def test_an_error_reaches_all_who_wait_and_is_not_remembered() -> None:
    remembering = Remembering()

    async def fetch() -> bytes:
        await asyncio.sleep(0)
        raise not_found("thing", "a")

    outcomes = await asyncio.gather(
        *(remembering.cache.read(_key("a"), fetch, ttl=10, open_ended=False) for _ in range(3)),
        return_exceptions=True,
    )

    assert {type(each) for each in outcomes} == {NotFound}
    assert await remembering.read("a") == "answer"
