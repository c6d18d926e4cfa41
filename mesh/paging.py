"""Page tokens (AIP-158): opaque, bound to the query they continue, holding the last key of a keyset scan."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message

from mesh.errors import FieldViolation, InvalidArgument

DEFAULT_SIZE: Final = 20
MAX_SIZE: Final = 100

KeyPart = str | int | float | bool | None
"""What a keyset key is made of: anything JSON holds without loss."""


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for."""

    size: int
    """How many items at most: 1 to 100."""
    after: list[Any] | None
    """The key of the last item already seen; None for the first page."""


def read_page(request: Any, *kinds: Callable[[Any], Any]) -> Page:
    """Reads `page_size` and `page_token` of a list request.

    Args:
        request: Any message with both fields; the generated classes share no type that says so.
        kinds: What each part of the key is read with: `uuid_key`, `number_key`, `text_key` or a function of the
            service's own that raises ValueError. Tokens are opaque but not secret, so a made-up one must fail here and
            not in a query.

    Raises:
        InvalidArgument: INVALID_PAGE_TOKEN: the token is damaged or belongs to another query.
    """
    size = request.page_size or DEFAULT_SIZE
    token: str = request.page_token
    if not token:
        return Page(min(size, MAX_SIZE), None)
    try:
        binding, *after = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if kinds:
            after = [kind(part) for kind, part in zip(kinds, after, strict=True)]
    except (ValueError, TypeError, AttributeError, RecursionError) as damaged:
        raise _invalid_token("is damaged") from damaged
    if binding != _binding(request):
        raise _invalid_token("belongs to a query with other arguments")
    return Page(min(size, MAX_SIZE), after)


def uuid_key(part: Any) -> str:
    """Reads a part of a key that is a UUID, in its canonical form. Raises ValueError or AttributeError."""
    return str(UUID(part))


def number_key(part: Any) -> int:
    """Reads a part of a key that is a whole number, of those that a bigint column holds.

    Raises:
        ValueError: It is none.
    """
    if type(part) is not int or abs(part) >= 2**63:
        raise ValueError("not a number that was read from the database")
    return part


def text_key(part: Any) -> str:
    """Reads a part of a key that is a text, of those that PostgreSQL holds.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(part, str) or "\0" in part or _has_surrogate(part):
        raise ValueError("not a text that was read from the database")
    return part


def next_token(request: Message, last_key: Sequence[KeyPart]) -> str:
    """The token with which `request` continues behind the item whose key is `last_key`."""
    content = json.dumps([_binding(request), *last_key], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _binding(request: Message) -> str:
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("page_size")
    bare.ClearField("page_token")
    content = bare.DESCRIPTOR.full_name.encode() + b"\0" + bare.SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest()[:16]


def _has_surrogate(part: str) -> bool:
    """Whether a text holds half a character, which JSON can write and UTF-8 cannot."""
    return any("\ud800" <= character <= "\udfff" for character in part)


def _invalid_token(what: str) -> InvalidArgument:
    return InvalidArgument(
        "INVALID_PAGE_TOKEN",
        f"page_token {what}",
        metadata={"field": "page_token"},
        field_violations=[FieldViolation("page_token", what)],
    )
