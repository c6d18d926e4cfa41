"""The inbox: which events took effect here, written in the effect's own transaction, so that a repeat has none."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text

from mesh.data.transaction import Transaction

# Sorted, so that two processes that were given the same events wait for each other instead of colliding. What was set
# aside before and takes effect now is no dead letter any more.
_ACCEPT: Final = text(
    """
    WITH revived AS (
        DELETE FROM dead_letter WHERE consumer = :consumer AND event_id = ANY(CAST(:event_ids AS text[]))
    )
    INSERT INTO inbox (consumer, event_id)
    SELECT :consumer, event_id FROM unnest(CAST(:event_ids AS uuid[])) AS event (event_id) ORDER BY event_id
    ON CONFLICT DO NOTHING
    RETURNING CAST(event_id AS text)
    """
)


async def accept(tx: Transaction, consumer: str, event_ids: Sequence[str]) -> frozenset[str]:
    """Notes events as handled and tells which of them were not before; waits for who is just handling the same ones."""
    rows = await tx.execute(_ACCEPT, {"consumer": consumer, "event_ids": list(event_ids)})
    return frozenset(row[0] for row in rows)
