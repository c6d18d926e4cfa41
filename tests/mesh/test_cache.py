"""Remembered public reads, over a real wire, database and broker: fresh after each change, the same for everybody."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from mesh.ids import uuid7
from mesh.pipeline.cache import is_cached
from mesh.policy import load_policy
from tests.fixtures.servers import NatsServer, until
from tests.harness import Harness, Tokens
from tests.mesh.probe import ProbeContract, status_of
from tests.mesh.shelf import RunningShelf, shelf, tuned

GET = "probe.v1.ShelfService/GetThing"


@pytest.fixture
async def one(harness: Harness, contract: ProbeContract) -> AsyncIterator[RunningShelf]:
    async with shelf(harness, contract) as running:
        yield running


async def put(running: RunningShelf, text: str, *, thing_id: str | None = None, owner_id: str = "") -> Any:
    """Puts a thing on the shelf, with an event."""
    thing = running.messages.Thing(id=thing_id or uuid7(), text=text, owner_id=owner_id)
    return await running.stub().PutThing(thing)


def get(running: RunningShelf, thing_id: str, **options: Any) -> Any:
    return running.stub(**options).GetThing(running.messages.GetThingRequest(id=thing_id))


async def test_a_repeated_read_is_answered_without_the_handler_and_counted(one: RunningShelf) -> None:
    thing = await put(one, "first")

    answers = [await get(one, thing.id) for _ in range(3)]

    assert {each.text for each in answers} == {"first"}
    assert one.servicer.reads == 1
    assert one.counted("rpc_server_cache_hits_total", rpc_method=GET) == 2
    assert one.counted("rpc_server_cache_misses_total", rpc_method=GET) == 1


async def test_a_caller_reads_what_it_has_just_written(one: RunningShelf) -> None:
    thing = await put(one, "0")
    for count in range(1, 30):
        await get(one, thing.id)
        await put(one, str(count), thing_id=thing.id)

        assert (await get(one, thing.id)).text == str(count)


async def test_a_change_of_one_thing_leaves_the_answers_about_others(one: RunningShelf) -> None:
    changed, other = await put(one, "a"), await put(one, "b")
    await get(one, changed.id)
    await get(one, other.id)

    await put(one, "c", thing_id=changed.id)
    await get(one, other.id)

    assert one.servicer.reads == 2


@pytest.mark.parametrize("owner", ["", uuid7()], ids=["a list of all", "a list that names an id"])
async def test_a_list_shows_what_was_added_to_it(one: RunningShelf, owner: str) -> None:
    things = one.messages.ListThingsRequest(owner_id=owner)
    await one.stub().ListThings(things)

    added = await put(one, "new", owner_id=owner)

    assert added.id in [each.id for each in (await one.stub().ListThings(things)).things]


async def test_a_change_without_an_event_drops_everything(one: RunningShelf) -> None:
    thing = await put(one, "before")
    await get(one, thing.id)

    await one.stub().PutQuietly(one.messages.Thing(id=thing.id, text="after"))

    assert (await get(one, thing.id)).text == "after"


async def test_an_answer_depends_on_nobody(one: RunningShelf, tokens: Tokens) -> None:
    thing = await put(one, "first")

    by_a_person = await get(one, thing.id, token=tokens.admin())
    by_a_workload = await get(one, thing.id, caller="order")

    assert by_a_person == by_a_workload
    assert by_a_person.asked_by == "nobody/nobody"


async def test_who_may_not_call_gets_no_remembered_answer_either(one: RunningShelf) -> None:
    thing = await put(one, "first")
    await get(one, thing.id)

    outcome = await status_of(get(one, thing.id, caller="payment"))

    assert outcome == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")


async def test_an_error_is_not_remembered(one: RunningShelf) -> None:
    thing_id = uuid7()
    assert (await status_of(get(one, thing_id)))[0] is grpc.StatusCode.NOT_FOUND

    await put(one, "now it is there", thing_id=thing_id)

    assert (await get(one, thing_id)).text == "now it is there"


async def test_a_damaged_request_is_refused_each_time(one: RunningShelf) -> None:
    call: Any = one.service.channel().unary_unary(f"/{GET}", lambda _: b"\xff\xff\xff", bytes)
    for _ in range(2):
        assert await status_of(call(None)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def test_a_read_that_began_before_a_change_is_not_remembered_after_it(one: RunningShelf) -> None:
    thing = await put(one, "before")
    one.servicer.hold_reads = hold = asyncio.Event()
    overtaken = asyncio.ensure_future(get(one, thing.id))
    await one.servicer.reading.wait()

    await put(one, "after", thing_id=thing.id)
    hold.set()

    assert (await overtaken).text == "before"
    assert (await get(one, thing.id)).text == "after"


async def test_the_first_callers_short_deadline_fails_nobody_else(one: RunningShelf) -> None:
    thing = await put(one, "first")
    one.servicer.hold_reads = hold = asyncio.Event()
    request = one.messages.GetThingRequest(id=thing.id)
    hasty = asyncio.ensure_future(status_of(one.stub().GetThing(request, timeout=1)))
    async with asyncio.timeout(10):
        await one.servicer.reading.wait()
    patient = asyncio.ensure_future(one.stub().GetThing(request))
    assert (await hasty)[0] is grpc.StatusCode.DEADLINE_EXCEEDED

    hold.set()

    assert (await patient).text == "first"
    assert one.servicer.reads == 1


async def test_the_other_processes_of_a_workload_hear_of_a_change(harness: Harness, contract: ProbeContract) -> None:
    async with shelf(harness, contract) as here:
        url = here.service.database_url
        async with shelf(harness, contract, database_url=url) as there:
            thing = await put(here, "before")
            await until(lambda: _tells(there, thing.id, "before"))
            reads = there.servicer.reads
            await get(there, thing.id)
            assert there.servicer.reads == reads

            await put(here, "after", thing_id=thing.id)

            await until(lambda: _tells(there, thing.id, "after"), seconds=5)


async def test_while_the_broker_is_away_a_process_still_reads_what_it_wrote(
    harness: Harness, contract: ProbeContract, own_nats: NatsServer
) -> None:
    async with shelf(harness, contract) as running:
        thing = await put(running, "before")
        await get(running, thing.id)
        own_nats.stop()

        await put(running, "after", thing_id=thing.id)

        assert (await get(running, thing.id)).text == "after"


async def test_a_process_remembers_no_more_than_it_may(
    harness: Harness, contract: ProbeContract, tmp_path: Path
) -> None:
    tuning = tuned(tmp_path, cache={"max_entries": 3})
    async with shelf(harness, contract, ZOCO_TUNING=tuning) as running:
        things = [await put(running, "x") for _ in range(4)]
        for thing in [*things, *things]:
            await get(running, thing.id)

        assert running.servicer.reads == 8


def test_only_what_anybody_may_have_and_changes_nothing_is_remembered(contract: ProbeContract) -> None:
    for path, method in {**load_policy().methods, **load_policy(contract.descriptors).methods}.items():
        if is_cached(method):
            assert not method.needs_user, path
            assert method.side_effect_free, path
    cached = {method.name for method in load_policy().methods.values() if is_cached(method)}
    assert cached == {"GetProduct", "BatchGetProducts", "ListProducts", "ListCategories"}


async def _tells(running: RunningShelf, thing_id: str, text: str) -> bool:
    return bool((await get(running, thing_id)).text == text)
