"""What the supervisor does for keys while the shop runs: renews certificates that are due, retires old signing keys."""

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cli.failures import Failure
from cli.local.certificates import is_due
from cli.local.pki import TOKENS, exclusive
from cli.local.rotation import renew_due, require_trust
from cli.local.signing_keys import outlived_keys, retire, signing_keys

EVERY_SECONDS: Final = 60.0


async def keep_renewed(
    directory: Path,
    names: Collection[str],
    lead: timedelta,
    say: Callable[[str], None],
    *,
    every: float = EVERY_SECONDS,
) -> None:
    """Look after the keys for ever; run it as a task.

    Args:
        directory: `.zoco/pki`.
        names: whose certificates to look at.
        lead: how long a new signing key is only published.
        say: told of what was done, and once of what cannot be.
        every: seconds between two looks.
    """
    said = ""
    while True:
        await asyncio.sleep(every)
        try:
            done = await asyncio.to_thread(look_after, directory, names, lead)
        except (Failure, OSError) as error:
            done = f"keys cannot be renewed: {error}"
        if done and done != said:
            say(done)
        said = done


def look_after(directory: Path, names: Collection[str], lead: timedelta) -> str:
    """Renew and retire what is due. Returns what was done, or is to be done by a person, in words; empty if nothing.

    Raises:
        Failure: a file cannot be read, or the authority is gone.
    """
    now = datetime.now(UTC)
    done = []
    if renewed := renew_due(directory, names):
        done.append(f"renewed the certificates of {', '.join(renewed)}")
    with exclusive(directory):
        keys = signing_keys(directory / TOKENS, lead)
        outlived = outlived_keys(keys, now)
        for key in outlived:
            retire(keys, key.kid, now, force=False)
    if outlived:
        done.append(f"retired the signing keys {', '.join(key.kid for key in outlived)}")
    if is_due(require_trust(directory).issuer.certificate, now):
        done.append("the certificate authority is due: `zoco keys rotate ca` replaces it")
    return "; ".join(done)
