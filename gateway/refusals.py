"""Routes that lead nowhere but to a refusal."""

from collections.abc import Sequence

from gateway.authentication import no_token
from gateway.authorization import unguarded
from gateway.xds import Message


def wrong_method(match: Message, allowed: Sequence[str]) -> Message:
    """Give the refusal of every other method on a known path, with what it does take (RFC 9110, 15.5.6)."""
    allow = {"header": {"key": "allow", "value": ", ".join(sorted(allowed))}}
    return {**refusal(match, 405), "response_headers_to_add": [allow]}


def refusal(match: Message, status: int, text: str | None = None) -> Message:
    """Give a route that answers by itself; the body of an error is made in `replies`, which may use the text."""
    body = {"body": {"inline_string": text}} if text else {}
    return {
        "match": match,
        "direct_response": {"status": status, **body},
        # It is the same for everybody, and the router's to give: what asks who calls would answer first.
        "typed_per_filter_config": {**no_token(), **unguarded()},
    }
