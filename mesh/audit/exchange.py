"""What the tables that every service has tell: events told and heard, answers by key, dead letters, secrets."""

from collections.abc import Set as AbstractSet
from typing import Final

from mesh.audit.facts import Connection, Events, Facts, Finding, Scope
from mesh.audit.invariants import Invariant
from mesh.audit.secrets import rows_with_secrets

_TOLD: Final = "SELECT type, uuid_send(event_id), time FROM outbox WHERE time >= %s"
_KNOWN_BEFORE: Final = "SELECT uuid_send(event_id) FROM outbox WHERE time < %s"
_HEARD: Final = "SELECT uuid_send(event_id), received_at FROM inbox"
_TWICE: Final = "SELECT event_id::text, consumer, count(*) FROM inbox GROUP BY 1, 2 HAVING count(*) > 1"
_GAPS: Final = """
    SELECT aggregate_id FROM outbox GROUP BY 1
    HAVING count(*) <> count(DISTINCT version)
"""
_UNPUBLISHED: Final = (
    "SELECT id, type, event_id::text FROM outbox WHERE published_at IS NULL AND NOT (time >= %s AND time < %s)"
)
_LETTERS: Final = """
    SELECT event_id, subject, dead_at IS NOT NULL, first_failed_at, reason, coalesce(headers ->> 'ce-id', '')
    FROM dead_letter ORDER BY 1
"""
_KEYS: Final = """
    SELECT method, key, principal, count(*) FROM idempotency GROUP BY 1, 2, 3 HAVING count(*) > 1
"""
_ANSWERS: Final = """
    SELECT method, key FROM idempotency
    WHERE (status IS NULL) <> (response IS NULL) OR (status IS NULL) <> (answered_at IS NULL)
"""
_ANSWERED: Final = "SELECT count(*) FROM idempotency"
_BACKLOG: Final = """
    SELECT (SELECT count(*) FROM outbox WHERE published_at IS NULL),
           (SELECT count(*) FROM dead_letter WHERE dead_at IS NULL)
"""


async def examine(connection: Connection, service: str, scope: Scope) -> Facts:
    """Looks at the tables of the exchange in one service."""
    letters = await (await connection.execute(_LETTERS)).fetchall()
    # What cannot be read is called by its place in the stream, and still says which event it was to be.
    set_aside = {_bytes(name) for row in letters for name in (row[0], row[5])} - {b""}
    events = await _events(connection, scope, set_aside)
    findings = [
        await _once(connection, service, events),
        await _keys(connection, service),
        await _waiting(connection, service, scope),
        await _secrets(connection, service, scope),
    ]
    dead = [f"{service}: {subject} {event_id}: {reason}" for event_id, subject, dead, _, reason, _ in letters if dead]
    return Facts(findings=findings, dead_letters=dead, events=events)


async def backlog(connection: Connection) -> tuple[int, int]:
    """How many events are still to be published, and how many that failed are tried again."""
    row = await (await connection.execute(_BACKLOG)).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


async def _events(connection: Connection, scope: Scope, set_aside: AbstractSet[bytes]) -> Events:
    heard: set[bytes] = set()
    for_sure: set[bytes] = set()
    for event_id, received_at in await (await connection.execute(_HEARD)).fetchall():
        heard.add(bytes(event_id))
        if scope.is_quiet(received_at):
            for_sure.add(bytes(event_id))
    told: dict[str, set[bytes]] = {}
    known: set[bytes] = set()
    for event_type, event_id, time in await (await connection.execute(_TOLD, [scope.delivered_since])).fetchall():
        known.add(bytes(event_id))
        if scope.is_quiet(time):
            told.setdefault(event_type, set()).add(bytes(event_id))
    before = await connection.execute(_KNOWN_BEFORE, [scope.delivered_since])
    known.update(bytes(row[0]) for row in await before.fetchall())
    return Events(told=told, known=known, heard=heard, heard_for_sure=for_sure, set_aside=set_aside)


async def _once(connection: Connection, service: str, events: Events) -> Finding:
    twice = await (await connection.execute(_TWICE)).fetchall()
    wrong = [f"{event_id}: took effect {count} times for {consumer}" for event_id, consumer, count in twice]
    repeated = await (await connection.execute(_GAPS)).fetchall()
    wrong += [f"{aggregate}: {service} told two events of one version" for (aggregate,) in repeated]
    return Finding.of(Invariant.DELIVERED_ONCE, len(events.heard), wrong)


async def _keys(connection: Connection, service: str) -> Finding:
    twice = await (await connection.execute(_KEYS)).fetchall()
    wrong = [f"{key}: {count} rows of {method} in {service}" for method, key, _, count in twice]
    half = await (await connection.execute(_ANSWERS)).fetchall()
    wrong += [f"{key}: half an answer of {method} in {service}" for method, key in half]
    total = await (await connection.execute(_ANSWERED)).fetchone()
    return Finding.of(Invariant.IDEMPOTENT, int(total[0]) if total else 0, wrong)


async def _waiting(connection: Connection, service: str, scope: Scope) -> Finding:
    unpublished = await (await connection.execute(_UNPUBLISHED, list(scope.lately))).fetchall()
    wrong = [f"{event_id}: {kind} waits in the outbox of {service}" for _, kind, event_id in unpublished]
    letters = await (await connection.execute(_LETTERS)).fetchall()
    wrong += [
        f"{event_id}: {subject} is tried again and again by {service}"
        for event_id, subject, dead, first_failed_at, *_ in letters
        if not dead and scope.is_quiet(first_failed_at)
    ]
    return Finding.of(Invariant.AT_REST, len(unpublished) + len(letters), wrong)


async def _secrets(connection: Connection, service: str, scope: Scope) -> Finding:
    rows, wrong = await rows_with_secrets(connection, "outbox", "event_id::text", ["payload::bytea"], scope.secrets)
    more, also = await rows_with_secrets(
        connection, "dead_letter", "event_id", ["payload::bytea", "headers", "reason"], scope.secrets
    )
    return Finding.of(Invariant.NO_LEAK_OF_SECRETS, rows + more, [f"{service}: {each}" for each in wrong + also])


def _bytes(event_id: str) -> bytes:
    """An id as the other tables have it; nothing where a dead letter has none of its own."""
    try:
        return bytes.fromhex(event_id.replace("-", ""))
    except ValueError:
        return b""
