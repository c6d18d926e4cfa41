"""The keys that sign access tokens: one file each, `<kid>.pem`, whose age says which of them signs.

The user service publishes every key in the directory and signs with the newest that has been there for the lead time
(services/user/tokens.py). So a new file is published first and signs later, and what the old one signed stays valid
until it is retired, that is, deleted.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from cli.failures import Failure
from cli.local.certificates import key_pem
from cli.local.home import write_private
from mesh.tokens import ACCESS_LIFETIME

MARGIN: Final = timedelta(seconds=60)
"""For the clocks' difference and for the time until the user service looks into the directory again."""


@dataclass(frozen=True)
class SigningKeyFile:
    """A key on disk.

    Attributes:
        path: its file.
        since: when it was put there.
        signs_from: when it begins to sign.
        signs_until: when another takes over; None if none is there to do so.
    """

    path: Path
    since: datetime
    signs_from: datetime
    signs_until: datetime | None

    @property
    def kid(self) -> str:
        """Its id in the key set."""
        return self.path.stem

    @property
    def outlived(self) -> datetime | None:
        """When the last token it signed is dead; None while nothing takes over from it."""
        return None if self.signs_until is None else self.signs_until + ACCESS_LIFETIME + MARGIN


def ensure_signing_key(directory: Path) -> Path:
    """Return the newest key (Ed25519, PKCS #8), made if there is none."""
    found = _files(directory)
    return found[-1] if found else _make(directory)


def signing_keys(directory: Path, lead: timedelta) -> list[SigningKeyFile]:
    """Return the keys, oldest first, with the times at which each signs."""
    files = _files(directory)
    since = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in files]
    # A first key signs at once: nobody has cached a key set without it.
    begins = [moment if number == 0 else moment + lead for number, moment in enumerate(since)]
    ends: list[datetime | None] = [*begins[1:], None]
    return [SigningKeyFile(*each) for each in zip(files, since, begins, ends, strict=True)]


def rotate_signing(directory: Path, lead: timedelta, now: datetime) -> tuple[SigningKeyFile, bool]:
    """Put a new key into the directory, unless one is there that has not begun to sign.

    Returns:
        The newest key, and whether it was made now.
    """
    known = signing_keys(directory, lead)
    if known and known[-1].signs_from > now:
        return known[-1], False
    _make(directory)
    return signing_keys(directory, lead)[-1], True


def outlived_keys(keys: Sequence[SigningKeyFile], now: datetime) -> list[SigningKeyFile]:
    """Return those of which no token lives any more."""
    return [key for key in keys if key.outlived is not None and key.outlived <= now]


def retire(keys: Sequence[SigningKeyFile], kid: str, now: datetime, *, force: bool) -> None:
    """Delete a key. Every process refuses its tokens within a minute, when it fetches the key set again.

    Args:
        keys: All of them.
        kid: Which.
        now: The time.
        force: Delete it although tokens it signed are valid: their owners must refresh them.

    Raises:
        Failure: there is no such key, it is the only one, or it is still needed and `force` is not given.
    """
    found = next((key for key in keys if key.kid == kid), None)
    if found is None:
        raise Failure(f"{kid} is no signing key; those are {', '.join(key.kid for key in keys)}.")
    if len(keys) == 1:
        raise Failure(f"{kid} is the only signing key; `zoco keys rotate signing` makes another first.")
    if not force and (found.outlived is None or found.outlived > now):
        when = (
            "when it has been replaced" if found.outlived is None else f"from {found.outlived:%Y-%m-%d %H:%M:%S} UTC on"
        )
        raise Failure(f"{kid} has signed tokens that are still valid; retire it {when}, or now with --force.")
    found.path.unlink()


def _files(directory: Path) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return sorted(directory.glob("*.pem"), key=lambda path: (path.stat().st_mtime, path.stem))


def _make(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / f"{secrets.token_hex(8)}.pem"
    write_private(path, key_pem(ed25519.Ed25519PrivateKey.generate()))
    return path
