"""Page tokens (AIP-158): opaque, bound to the query they continue, holding the last key of a keyset scan."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

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
        kinds: What each part of the key is read with, such as `datetime.fromisoformat` or `UUID`. Tokens are opaque but
            not secret, so a made-up one must fail here and not in a query.

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


def _invalid_token(what: str) -> InvalidArgument:
    return InvalidArgument(
        "INVALID_PAGE_TOKEN",
        f"page_token {what}",
        metadata={"field": "page_token"},
        field_violations=[FieldViolation("page_token", what)],
    )
