"""What payment does without being asked: holding its payments against the providers' ledgers."""

import asyncio
from datetime import timedelta
from typing import Final, Protocol

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.logs import logger
from services.payment.reconciliation import Position, Reconciliation

FIRST_ROUND: Final = timedelta(seconds=15)
"""How long after the start the first round comes, at most: what a process that died left open is not left for long."""

LOOK_BACK: Final = timedelta(hours=1)
"""How far back the first round looks at payments that moved."""

_log = logger("services.payment")


class Closable(Protocol):
    """A provider that has something to close."""

    async def close(self) -> None:
        """Closes it."""


async def reconcile(reconciliation: Reconciliation, clock: Clock, *, every: timedelta) -> None:
    """Runs a round every so often, as long as the process lives."""
    position = Position(clock() - LOOK_BACK)
    await asyncio.sleep(min(every, FIRST_ROUND).total_seconds())
    while True:
        try:
            outcome, position = await reconciliation.round(position)
        except MeshError as error:
            _log.warning("nothing was reconciled", reason=str(error))
        else:
            if outcome.settled or outcome.left_open or outcome.unanswered:
                _log.info(
                    "reconciled",
                    settled=outcome.settled,
                    left_open=outcome.left_open,
                    unanswered=outcome.unanswered,
                )
        await asyncio.sleep(every.total_seconds())


async def close_at_the_end(provider: Closable) -> None:
    """Waits for the end of the process, which ends its loops after its calls, and closes a provider's connections."""
    try:
        await asyncio.Event().wait()
    finally:
        await provider.close()
