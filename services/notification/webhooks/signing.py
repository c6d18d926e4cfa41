"""Signatures as Standard Webhooks has them: HMAC-SHA256 over id, time and body, one for each valid secret.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

SECRET_BYTES: Final = 32
_PREFIX: Final = "whsec_"


def new_secret() -> bytes:
    """What a webhook's deliveries are to be signed with: 256 random bits."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """A secret as its owner gets it: `whsec_` and base64."""
    return _PREFIX + base64.b64encode(secret).decode()


def headers(message_id: str, body: bytes, *, time: datetime, keys: Sequence[bytes]) -> Mapping[str, str]:
    """The headers by which a receiver knows a message for ours, and for one it has.

    Args:
        message_id: The same at each attempt.
        body: The bytes that are sent.
        time: Of this attempt: receivers refuse what is older than some minutes, so that nobody plays it again.
        keys: The valid secrets; whoever knows one of them is content.
    """
    timestamp = str(int(time.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_signature(key, signed)}" for key in keys),
    }


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
