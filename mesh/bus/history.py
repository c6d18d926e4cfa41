"""The history of what others told, out of their outboxes: the truth that the broker can be rebuilt from, too."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import psycopg
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from mesh.bus.subjects import area_of
from mesh.bus.subscriptions import Received
from mesh.data.connections import DEAD_PEER

FETCH: Final = 2000
"""Events that are read at a time."""

_TOLD: Final = """
    SELECT event_id::text, aggregate_id, version, type, payload, correlation_id, time
    FROM outbox WHERE type = ANY(%s) ORDER BY id
"""


async def told_by(outboxes: Mapping[str, str], events: Sequence[str]) -> AsyncIterator[Received[Any]]:
    """All events of some kinds that were ever committed, area after area, each area's in the order it told them.

    Nothing is read before the first event is asked for: what was committed until then is in it.

    Args:
        outboxes: Area -> URL of the database its events are told from.
        events: Full names. Their messages must have been imported.

    Raises:
        KeyError: There is no outbox for an event, or its message is not known.
        psycopg.Error: A database cannot be read.
    """
    classes = {name: _class_of(name) for name in events}
    for area in sorted({area_of(name) for name in events}):
        wanted = [name for name in events if area_of(name) == area]
        async for row in _rows(outboxes[area], wanted):
            event_id, aggregate_id, version, kind, payload, correlation_id, time = row
            yield Received(
                event=classes[kind].FromString(payload),
                event_id=event_id,
                aggregate_id=aggregate_id,
                version=version,
                time=time,
                correlation_id=correlation_id,
            )


async def _rows(url: str, events: Sequence[str]) -> AsyncIterator[tuple[Any, ...]]:
    async with (
        await psycopg.AsyncConnection.connect(url, connect_timeout=5, application_name="history", **DEAD_PEER) as read,
        read.cursor(name="history", binary=True) as cursor,
    ):
        await read.execute("SET LOCAL statement_timeout = 0")
        await read.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.itersize = FETCH
        await cursor.execute(_TOLD, [list(events)])
        async for row in cursor:
            yield row


def _class_of(name: str) -> type[Message]:
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))
