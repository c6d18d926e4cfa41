"""A broker that is away, has lost everything, tells things twice and in disorder, or tells nonsense."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import psutil
import psycopg

from mesh.bus.envelope import Envelope
from mesh.bus.nats_publish import MESSAGE_ID
from mesh.ids import uuid7
from tests.chaos.faults import events
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.waiting import until
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome
from tests.chaos.points import PUBLISHERS

BETWEEN: Final = 4
"""Orders that are acknowledged before and after."""

AWAY: Final = 180.0
AWAY_BRIEFLY: Final = 60.0
"""Seconds for which there is no broker, in full and in brief."""

CAUGHT_UP: Final = 120.0
"""Seconds within which everything that waited has been told and handled."""

IN_DISORDER: Final = 20
"""Orders whose events are told in any order."""

COPIES: Final = 3
"""How often each of them is told by hand; the relay then tells it once more."""

_CONFIRMED: Final = "SELECT count(*) FROM orders WHERE state NOT IN ('PENDING', 'REJECTED', 'CANCELLED')"


async def take_away(house: House, load: Load, outcome: Outcome) -> None:
    """Takes the broker away for a while. Orders go on meanwhile, and what they have to tell is told afterwards."""
    seconds = AWAY_BRIEFLY if house.brief else AWAY
    await load.until(BETWEEN)
    async with _no_broker(house):
        before = await _confirmed(house)
        await asyncio.sleep(seconds)  # how long it is away is the fault itself
        confirmed = await _confirmed(house) - before
        _, waiting = await events.outboxes(house)
    if not confirmed or not waiting:
        outcome.wrong.append(f"{confirmed} orders were confirmed and {waiting} events waited without the broker")
    told = await _told(house)
    outcome.notes.append(
        f"{seconds:.0f} s, {confirmed} orders confirmed meanwhile, {waiting} events told {told:.1f} s after"
    )
    await load.until(BETWEEN)


async def wipe(house: House, load: Load, outcome: Outcome) -> None:
    """Deletes all that the broker has stored. Each outbox is published again, and nothing has a second effect."""
    await load.until(BETWEEN)
    async with _no_broker(house):
        await asyncio.to_thread(shutil.rmtree, house.home.nats / "jetstream")
        told, _ = await events.outboxes(house)

    async def is_told_again() -> bool:
        return await events.stored(house) >= told

    again = await until(is_told_again, CAUGHT_UP, f"{told} events to be in the streams again")
    await _told(house)
    await events.handled(house, CAUGHT_UP)
    outcome.notes.append(f"{told} events published again {again:.1f} s after")
    await load.until(BETWEEN)


async def repeat_in_disorder(house: House, load: Load, outcome: Outcome) -> None:
    """Publishes events before their relays do: several times, in any order, under ids the broker has never seen."""
    chance = random.Random(load.seed)
    async with events.no_relay(house) as databases, events.broker(house) as broker:
        await load.until(IN_DISORDER)
        publications = [
            each
            for service, connection in databases.items()
            for each in await events.unpublished(connection, service)
            for _ in range(COPIES)
        ]
        chance.shuffle(publications)
        for each in publications:
            await broker.jetstream().publish(each.subject, each.payload, headers={**each.headers, MESSAGE_ID: uuid7()})
        await events.handled(house, CAUGHT_UP)
    outcome.notes.append(f"{len(publications) // COPIES} events, {COPIES} times each, shuffled")
    await _told(house)
    await events.handled(house, CAUGHT_UP)
    await load.until(BETWEEN)


Nonsense = Callable[[str], tuple[Mapping[str, str], bytes]]
"""Makes headers and payload of a message that is no event, for the subject that it goes out under."""


def _undecodable(subject: str) -> tuple[Mapping[str, str], bytes]:
    return _headers(subject), b"\xff\xff\xff"


def _of_another_version(subject: str) -> tuple[Mapping[str, str], bytes]:
    return {**_headers(subject), "ce-type": subject.replace(".v1.", ".v2.")}, b""


def _with_a_bad_id(subject: str) -> tuple[Mapping[str, str], bytes]:
    return {**_headers(subject), "ce-id": "17"}, b""


def _without_headers(_: str) -> tuple[Mapping[str, str], bytes]:
    return {}, b"hello"


NONSENSE: Final[Mapping[str, Nonsense]] = {
    "the payload is no": _undecodable,
    "is not known here": _of_another_version,
    "a header is malformed": _with_a_bad_id,
    "the header ce-id is missing": _without_headers,
}
"""By what its dead letter says."""


def _heard() -> Iterator[str]:
    """Each event that is heard, as often as there are services that hear it."""
    for workload in events.contract().workloads.values():
        yield from workload.consumes


SUBSCRIPTIONS: Final = len(tuple(_heard()))
DEAD_LETTERS: Final = len(NONSENSE) * SUBSCRIPTIONS
"""What `poison` leaves behind: each kind of nonsense for each subscription."""


async def poison(house: House, load: Load, outcome: Outcome) -> None:
    """Publishes what is no event wherever somebody listens. Each is set aside with a reason, and holds up nobody."""
    await load.until(BETWEEN)
    before = len(await events.dead_letters(house))
    subjects = {*_heard(), *events.contract().revoking}
    async with events.broker(house) as broker:
        for make in NONSENSE.values():
            for subject in sorted(subjects):
                headers, payload = make(subject)
                await broker.jetstream().publish(subject, payload, headers={**headers, MESSAGE_ID: uuid7()})

    async def are_set_aside() -> bool:
        return len(await events.dead_letters(house)) - before >= DEAD_LETTERS

    took = await until(are_set_aside, CAUGHT_UP, f"{DEAD_LETTERS} dead letters")
    reasons = await events.dead_letters(house)
    for reason in NONSENSE:
        found = sum(reason in each for each in reasons)
        if found != SUBSCRIPTIONS:
            outcome.wrong.append(f"{found} dead letters say {reason!r}, not {SUBSCRIPTIONS}")
    await load.until(BETWEEN)
    await events.handled(house, CAUGHT_UP)
    outcome.notes.append(f"{DEAD_LETTERS} dead letters after {took:.1f} s")


def _headers(subject: str) -> Mapping[str, str]:
    event_id = uuid7()
    envelope = Envelope(
        event_id=event_id,
        type=subject,
        source="/zoco/nowhere",
        aggregate_id=event_id,
        version=1,
        time=datetime.now(UTC),
        correlation_id=event_id,
    )
    return envelope.publication(b"").headers


@asynccontextmanager
async def _no_broker(house: House) -> AsyncIterator[None]:
    """Within the block there is no broker: it was killed, and its supervisor cannot start it without configuration."""
    configuration = house.home.config / "nats.conf"
    aside = configuration.rename(configuration.with_suffix(".aside"))
    try:
        pid = await asyncio.to_thread(house.shop.kill, "nats")

        async def is_gone() -> bool:
            return not psutil.pid_exists(pid)

        await until(is_gone, 30, "NATS to be gone")
        yield
    finally:
        aside.rename(configuration)
        await asyncio.to_thread(house.shop.wait_until_healthy, 120)


async def _told(house: House) -> float:
    """Waits until all that waits now is told. Returns how many seconds it took."""
    waiting = {service: await _last(house, service) for service in PUBLISHERS}

    async def is_told() -> bool:
        return not any([await _older(house, service, last) for service, last in waiting.items()])

    return await until(is_told, CAUGHT_UP, "the outboxes to be published")


async def _last(house: House, service: str) -> int:
    return await _number(house, service, "SELECT coalesce(max(id), 0) FROM outbox")


async def _older(house: House, service: str, last: int) -> int:
    return await _number(house, service, "SELECT count(*) FROM outbox WHERE published_at IS NULL AND id <= %s", last)


async def _confirmed(house: House) -> int:
    return await _number(house, "order", _CONFIRMED)


async def _number(house: House, service: str, query: Any, *values: object) -> int:
    async with await psycopg.AsyncConnection.connect(house.database(service)) as connection:
        row = await (await connection.execute(query, values)).fetchone()
    return int(row[0]) if row else 0


FAULTS: Final[Sequence[Fault]] = (
    Fault("broker-down", f"NATS away, for {AWAY / 60:.0f} minutes", take_away),
    Fault("broker-wiped", "NATS without all that it had stored", wipe),
    Fault(
        "duplicates-and-reordering",
        f"events told {COPIES + 1} times, in any order, under ids that the broker has not seen",
        repeat_in_disorder,
    ),
    Fault("poison", "messages that are no events", poison, poison=DEAD_LETTERS),
)
