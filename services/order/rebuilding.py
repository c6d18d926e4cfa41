"""What `zoco events rebuild order` does: the read table anew, out of order's own events."""

from collections.abc import AsyncIterable
from typing import Any

from mesh.bus import Received
from mesh.data import Database
from services.order import projections


async def rebuild(database: Database, history: AsyncIterable[Received[Any]]) -> str:  # noqa: ARG001 - its truth is its own
    """Writes the read table anew while the service goes on.

    Returns:
        What was done, in words.
    """
    return f"{await projections.rebuild(database)} orders written anew from their events"
