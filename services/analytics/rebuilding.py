"""What `zoco events rebuild analytics` does: all facts anew, out of what user and order have told."""

from collections.abc import AsyncIterable
from typing import Any

from mesh.bus import Received
from mesh.data import Database

# Their import makes the messages known that the history is made of.
from services.analytics import consumers, projections

__all__ = ["consumers", "rebuild"]


async def rebuild(database: Database, history: AsyncIterable[Received[Any]]) -> str:
    """Drops all facts and makes them anew while the service goes on; its reports are incomplete meanwhile.

    Returns:
        What was done, in words.
    """
    return f"{await projections.rebuild(database, history)} events noted anew"
