"""A case: what is sent, what must come back, and which document says so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.conformance.patterns import ANYTHING
from tests.conformance.sources import Source

Headers = tuple[tuple[str, str], ...]

JSON_TYPE: Final = "application/json"


@dataclass(frozen=True)
class Request:
    """One HTTP/1.1 request, sent as it stands here.

    In path, headers and JSON body `$name` stands for what the world calls so, or an earlier step has kept.
    """

    method: str
    target: str
    caller: str = ""
    """Whose token goes with it: `admin`, `buyer`, `stranger`; empty: nobody's."""
    headers: Headers = ()
    body: bytes | None = None
    host: bool = True
    """Whether a Host header goes with it."""
    length: bool = True
    """Whether the length of the body goes with it."""
    version: str = "HTTP/1.1"


def get(target: str, caller: str = "", **headers: str) -> Request:
    """A GET. A header's name is written with underscores."""
    return Request("GET", target, caller, _headers(headers))


def delete(target: str, caller: str = "") -> Request:
    """A DELETE."""
    return Request("DELETE", target, caller)


def post(target: str, caller: str, body: Any, **headers: str) -> Request:
    """A POST of JSON, or of bytes that are sent as they are."""
    return with_body("POST", target, caller, body, headers)


def patch(target: str, caller: str, body: Any, **headers: str) -> Request:
    """A PATCH of JSON, or of bytes that are sent as they are."""
    return with_body("PATCH", target, caller, body, headers)


def with_body(method: str, target: str, caller: str, body: Any, headers: Mapping[str, str]) -> Request:
    """A request with JSON, or with bytes that are sent as they are. Its type is JSON unless the headers say another."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = headers if "content_type" in headers else {"content_type": JSON_TYPE, **headers}
    return Request(method, target, caller, _headers(named), raw)


def _headers(named: Mapping[str, str]) -> Headers:
    return tuple((name.replace("_", "-"), value) for name, value in named.items())


@dataclass(frozen=True)
class Expected:
    """What must come back."""

    statuses: tuple[int, ...]
    json: Any = ANYTHING
    """Pattern of the body; see `patterns.differences`."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Patterns of headers, by lower-case name."""
    raw: bytes | None = None
    """The body, byte for byte."""
    same_as: str = ""
    """Under which name an earlier step has kept the body that comes again, byte for byte."""
    contains: bytes | None = None
    """What the body has in it, byte for byte."""
    events: Sequence[Any] | None = None
    """Patterns of the first server-sent events; the stream is left after the last of them."""
    ends: bool = False
    """Whether the stream ends after those events."""


@dataclass(frozen=True)
class Step:
    """A request and what must come back."""

    request: Request
    expected: Expected
    keep: Mapping[str, str] = field(default_factory=dict)
    """Names under which later steps find parts of the answer, such as `{"token": "nextPageToken"}`.

    `*` stands for the whole body, byte for byte, and `events.0.position` for a part of an event.
    """
    meanwhile: Request | None = None
    """What somebody does after the first event of a stream."""


@dataclass(frozen=True)
class Deviation:
    """Where the edge cannot conform: what it does instead, and why nobody is harmed."""

    instead: Expected
    """Of the last step."""
    harmless: str


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    """A sentence that says what is so."""
    source: Source
    steps: tuple[Step, ...]
    deviation: Deviation | None = None
    subject: str = ""
    """Of what it is a case; the table fills it in."""


def case(name: str, source: Source, request: Request, expected: Expected) -> Case:
    """A case of one step."""
    return Case(name, source, (Step(request, expected),))


def steps(name: str, source: Source, *each: Step) -> Case:
    """A case of several steps."""
    return Case(name, source, each)


def deviating(each: Case, *, instead: Expected, harmless: str) -> Case:
    """A case that is known to fail: what comes instead, and why nobody is harmed."""
    return replace(each, deviation=Deviation(instead, harmless))
