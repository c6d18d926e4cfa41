"""The rotation of certificates while everything runs: leaves at once, the authority in steps with an overlap.

Every step is a change of files and can be repeated. Where a rotation stands is read from the files (authority.py), so
that after a kill the same command goes on.
"""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, assert_never

from cli.failures import Failure
from cli.local.authority import Phase, Trust, drop, introduce, promote, read_trust
from cli.local.lock import HomeLock, holder
from cli.local.pki import converge, exclusive, identities, lags_behind

Say = Callable[[str], None]
Settled = Callable[[Trust], None]
"""Returns when every running process uses what the files say; raises Failure if that does not come to be."""

_ROTATING: Final = "rotating"


def require_trust(directory: Path) -> Trust:
    """Return the authority's state.

    Raises:
        Failure: there is no authority yet.
        CorruptState: a file cannot be understood.
    """
    found = read_trust(directory)
    if found is None:
        raise Failure(f"There is no certificate authority under {directory}; `make up` makes one.")
    return found


def rotate_leaves(directory: Path, workload: str | None) -> list[str]:
    """Give every identity, or one, a new certificate and key. Returns the names.

    Raises:
        Failure: there is no such identity, or no authority yet.
    """
    with exclusive(directory):
        trust = require_trust(directory)
        names = identities(directory)
        if workload is not None and workload not in names:
            raise Failure(f"{workload} has no certificate; those who have are {', '.join(names)}.")
        chosen = names if workload is None else [workload]
        return converge(directory, chosen, trust, datetime.now(UTC), renew=chosen)


def rotate_authority(directory: Path, settled: Settled, say: Say) -> Trust:
    """Replace the authority, from wherever an earlier run left off.

    Args:
        directory: `.zoco/pki`.
        settled: Waits until the running processes have followed.
        say: Told of each step, in words.

    Returns:
        The new state: one authority.

    Raises:
        Failure: there is no authority yet, another rotation is under way, or a process does not follow.
    """
    path = directory / _ROTATING
    lock = HomeLock.take(path)
    if lock is None:
        raise Failure(f"Another rotation is under way (pid {holder(path)}).")
    try:
        rotated = False
        while True:
            with exclusive(directory):
                trust = require_trust(directory)
                names = identities(directory)
                unfinished = lags_behind(directory, names, trust)
                converge(directory, names, trust, datetime.now(UTC))
                match trust.phase:
                    case Phase.STEADY if rotated or unfinished:
                        say("the old authority is trusted no more")
                        return trust
                    case Phase.STEADY:
                        introduce(directory, trust, datetime.now(UTC))
                        say("made the next authority")
                        continue
                    case Phase.INTRODUCED:
                        say(f"{len(names)} identities trust the old authority and the next one")
                    case Phase.PROMOTED:
                        say(f"{len(names)} identities have a certificate of the new authority")
                    case _:
                        assert_never(trust.phase)
            settled(trust)
            rotated = _advance(directory) or rotated
    finally:
        lock.release()


def _advance(directory: Path) -> bool:
    """Take the next step; return whether it was the last."""
    with exclusive(directory):
        trust = require_trust(directory)
        if trust.phase is Phase.INTRODUCED:
            promote(directory, trust)
            return False
        drop(directory, trust)
        return True


def renew_due(directory: Path, names: Collection[str]) -> list[str]:
    """Renew what has passed two thirds of its life. Returns whose certificates those were.

    Raises:
        Failure: the authority is gone: to make another now would cut off whoever runs.
    """
    with exclusive(directory):
        return converge(directory, names, require_trust(directory), datetime.now(UTC))
