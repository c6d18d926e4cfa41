"""Events into read tables: each event adds its facts, whichever came before it and however often it comes.

A fact has a key of its own and is never changed, so the tables are a function of the set of events: live and rebuilt,
in order and out of it, they end with the same rows.
"""

import json
from collections.abc import AsyncIterable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, Final, assert_never

from sqlalchemy import Table, TextClause, text
from sqlalchemy.dialects import postgresql

from mesh.bus import Received
from mesh.data import Database, Transaction, inbox
from mesh.money import Money
from services.analytics.domain import Fact, Placement, Refund, Registration, Sale, SaleLine
from services.analytics.tables import placement, refund, registration, sale, sale_line
from services.analytics.wire import facts_of

WORKLOAD: Final = "analytics"
"""The consumer under which events are noted in the inbox."""

CHANGED: Final = "figures"
"""The key that wakes watches when any figure may have changed."""

BATCH: Final = 500
"""Events a rebuild takes in one transaction."""

# The inbox first, as the consumer does: whoever is projecting is waited for, and whoever comes waits there. The rest in
# the order in which reports name them. Nothing refers to anything, and however much there is, it takes no time.
_FORGET: Final = text("TRUNCATE inbox, placement, sale, sale_line, refund, registration")


def _adding(table: Table) -> TextClause:
    """The statement that adds facts that are not there yet, sorted, so that two processes do not collide on them."""
    names = ", ".join(column.name for column in table.columns)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects are not annotated
    typed = ", ".join(f"{column.name} {column.type.compile(dialect)}" for column in table.columns)
    keys = ", ".join(column.name for column in table.primary_key)
    return text(
        f"INSERT INTO {table.name} ({names}) "  # noqa: S608 - names out of tables.py only
        f"SELECT {names} FROM json_to_recordset(CAST(:facts AS json)) AS fact ({typed}) "
        f"ORDER BY {keys} ON CONFLICT DO NOTHING"
    )


_ADD: Final = {table.name: _adding(table) for table in (placement, sale, sale_line, refund, registration)}


async def project(tx: Transaction, events: Sequence[Received[Any]]) -> None:
    """Adds what events say, in a statement a table. What is known already stays as it is.

    Raises:
        InvalidArgument: An event carries an amount that is none.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for received in events:
        for fact in facts_of(received.event, event_id=received.event_id):
            rows.setdefault(_table(fact).name, []).append(_row(fact))
    for name in sorted(rows):
        added = await tx.execute(_ADD[name], {"facts": json.dumps(rows[name], default=str)})
        if added.rowcount:
            tx.wake(CHANGED)


async def forget(database: Database) -> None:
    """Drops all facts, and what the inbox knows: every event that is delivered from now on takes effect again.

    With it the durable consumers can be replayed from the start of their streams.
    """

    async def work(tx: Transaction) -> None:
        await tx.execute(_FORGET)
        tx.wake(CHANGED)

    await database.transact(work)


async def rebuild(database: Database, history: AsyncIterable[Received[Any]]) -> int:
    """Drops everything and makes it anew from events. The service may go on; its reports are incomplete meanwhile.

    Safe to be run again after it was interrupted.

    Args:
        database: The service's.
        history: All events, in any order, repeated or not; those of no interest are passed over. It must be read
            lazily: it is asked for the first event when everything has been dropped, so that an event that was
            projected before, and dropped, is still in it.

    Returns:
        How many events were read.
    """
    await forget(database)
    count = 0
    batch: list[Received[Any]] = []
    async for received in history:
        batch.append(received)
        if len(batch) == BATCH:
            await database.transact(partial(_replay, events=tuple(batch)))
            count += len(batch)
            batch.clear()
    if batch:
        await database.transact(partial(_replay, events=tuple(batch)))
    return count + len(batch)


async def _replay(tx: Transaction, events: Sequence[Received[Any]]) -> None:
    # Noted as the consumer would have: the audit compares the inbox with what was published.
    await inbox.accept(tx, WORKLOAD, [received.event_id for received in events])
    await project(tx, events)


def _table(fact: Fact) -> Table:
    match fact:
        case Placement():
            return placement
        case Sale():
            return sale
        case SaleLine():
            return sale_line
        case Refund():
            return refund
        case Registration():
            return registration
        case _:
            assert_never(fact)


def _row(fact: Fact) -> dict[str, Any]:
    """A fact by column: an amount is two of them, everything else is called alike."""
    row: dict[str, Any] = {}
    for field in fields(fact):
        match getattr(fact, field.name):
            case Money(currency, minor):
                row |= {"currency": currency, field.name: minor}
            case value:
                row[field.name] = value
    return row
