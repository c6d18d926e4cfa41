"""What the user service does without being asked: looking for new keys, forgetting what has expired."""

import asyncio
from datetime import timedelta
from typing import Final

from mesh.clock import Clock
from mesh.data import Database, Transaction
from mesh.errors import MeshError
from mesh.logs import logger
from services.user import store
from services.user.tokens import KeyRing, SigningKeyError

KEY_CHECK_SECONDS: Final = 5.0
SWEEP_SECONDS: Final = 3600.0
FAILURES_KEPT: Final = timedelta(days=1)
"""Older failed log-ins mean nothing: the window and the longest delay are over by far."""

_log = logger("services.user")


async def reload_keys(keys: KeyRing) -> None:
    """Looks again and again which signing keys there are, so that they rotate without a restart."""
    while True:
        await asyncio.sleep(KEY_CHECK_SECONDS)
        try:
            await asyncio.to_thread(keys.reload)
        except SigningKeyError as error:
            _log.error("signing keys cannot be read; the known ones stay", reason=str(error))


async def sweep(database: Database, clock: Clock) -> None:
    """Deletes, every hour, refresh tokens that have expired and failed log-ins that are long over."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await sweep_once(database, clock)


async def sweep_once(database: Database, clock: Clock) -> None:
    """Deletes them once. A database that cannot be reached is asked again the next time."""

    async def work(tx: Transaction) -> None:
        now = clock()
        await store.sweep(tx.connection, tokens_expired_before=now, failures_before=now - FAILURES_KEPT)

    try:
        await database.transact(work)
    except MeshError as error:
        _log.warning("nothing was swept", reason=str(error))
