"""How secrets of webhooks are kept: sealed, so that who reads the database, or a copy of it, can sign nothing.

They cannot be kept as hashes, since they are needed to sign. AES-256-GCM under a key that the process is told at start;
the webhook's id is part of what is sealed, so that no row's secret works in another.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NAME_BYTES: Final = 8
_NONCE_BYTES: Final = 12


class CannotOpen(Exception):
    """A sealed secret cannot be opened: its key is not among ours, or it was changed."""


class Safe:
    """Seals and opens secrets.

    Args:
        keys: 32 bytes each. The first seals, all open: a new one is put in front, and the old one stays for as long as
            there are secrets under it.

    Raises:
        ValueError: One has another length.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        if any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"each key must have {KEY_BYTES} bytes")
        self._keys = {_name(key): AESGCM(key) for key in keys}
        self._first = _name(keys[0]) if keys else None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads keys as a setting has them: base64, separated by commas.

        Raises:
            ValueError: One is no base64, or has another length.
        """
        try:
            return cls([base64.b64decode(part.strip(), validate=True) for part in text.split(",")])
        except binascii.Error as error:
            raise ValueError("each key must be base64") from error

    @property
    def can_seal(self) -> bool:
        """Whether there is a key."""
        return self._first is not None

    def seal(self, secret: bytes, *, webhook_id: str) -> bytes:
        """A secret as it may be written down.

        Raises:
            LookupError: There is no key.
        """
        if self._first is None:
            raise LookupError("there is no key to seal secrets with")
        nonce = os.urandom(_NONCE_BYTES)
        return self._first + nonce + self._keys[self._first].encrypt(nonce, secret, webhook_id.encode())

    def open(self, sealed: bytes, *, webhook_id: str) -> bytes:
        """A secret as it was.

        Raises:
            CannotOpen: Its key is not here, it was changed, or it is another webhook's.
        """
        name, rest = sealed[:_NAME_BYTES], sealed[_NAME_BYTES:]
        if name not in self._keys:
            raise CannotOpen("the key under which it was sealed is not here")
        try:
            return self._keys[name].decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], webhook_id.encode())
        except (InvalidTag, ValueError) as error:
            raise CannotOpen("it was changed") from error


def _name(key: bytes) -> bytes:
    """What a key is called beside what it sealed; tells nothing of it."""
    return hashlib.sha256(b"zoco webhook key\0" + key).digest()[:_NAME_BYTES]
