"""Which account PostgreSQL runs under: ours, or another one when we are root, which PostgreSQL refuses."""

import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cli.failures import Failure

# The account packages make for PostgreSQL, and the one every system has.
_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An account to start a program under."""

    uid: int
    gid: int
    traverse: bool
    """Whether it needs the right to pass directories that are closed to it."""

    def own(self, path: Path) -> None:
        """Give `path` to the account."""
        os.chown(path, self.uid, self.gid)


def database_account(paths: Iterable[Path]) -> Account | None:
    """Return the account to run PostgreSQL under, or None for our own.

    Args:
        paths: what it must be able to reach.

    Raises:
        Failure: we are root and there is no other account.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        open_to_all = all(_passable(path) for path in paths)
        return Account(entry.pw_uid, entry.pw_gid, traverse=not open_to_all)
    raise Failure("PostgreSQL does not run as root, and there is neither an account 'postgres' nor 'nobody'.")


def _passable(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
