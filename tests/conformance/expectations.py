"""Answers that many cases expect: a success, a refusal in the one shape that refusals have, a stream."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.rpc import code_pb2

from tests.conformance.case import Expected
from tests.conformance.patterns import ANYTHING, Each, Exactly, Including, Pattern, Text

UUID: Final = Text("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIMESTAMP: Final = Text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z")
"""google.protobuf.Timestamp in ProtoJSON: in UTC, with 0, 3, 6 or 9 decimals."""
IS_JSON: Final = Text("application/json")

CODES: Final[Mapping[int, tuple[int, ...]]] = {
    400: (code_pb2.INVALID_ARGUMENT, code_pb2.FAILED_PRECONDITION, code_pb2.OUT_OF_RANGE),
    401: (code_pb2.UNAUTHENTICATED,),
    403: (code_pb2.PERMISSION_DENIED,),
    404: (code_pb2.NOT_FOUND,),
    405: (code_pb2.UNIMPLEMENTED,),
    409: (code_pb2.ABORTED, code_pb2.ALREADY_EXISTS),
    413: (code_pb2.INVALID_ARGUMENT,),
    415: (code_pb2.INVALID_ARGUMENT,),
    426: (code_pb2.INVALID_ARGUMENT,),
    429: (code_pb2.RESOURCE_EXHAUSTED,),
    431: (code_pb2.INVALID_ARGUMENT,),
    504: (code_pb2.DEADLINE_EXCEEDED,),
    501: (code_pb2.UNIMPLEMENTED,),
}
"""google.rpc.Code by HTTP status, where a status stands for more or less than google/rpc/code.proto maps to it, too."""

_SOMETHING: Final = Text(".+")
_TYPE: Final = "type.googleapis.com/google.rpc."


def ok(json: Any = ANYTHING, **headers: Any) -> Expected:
    """200 with JSON. A header's name is written with underscores."""
    return Expected((200,), json, {"content-type": IS_JSON, **_named(headers)})


def refused(
    status: int,
    reason: str | Pattern | None = None,
    *,
    field: str | Pattern | None = None,
    details: tuple[Any, ...] = (),
    message: str | Pattern = _SOMETHING,
    metadata: Any = ANYTHING,
    **headers: Any,
) -> Expected:
    """A refusal, in the one shape that all have (AIP-193, without its outer object).

    Args:
        status: Of HTTP; the code must be one that belongs to it.
        reason: Of the ErrorInfo.
        field: Of a violation of BadRequest, as the contract spells it.
        details: More of which something must be among the details.
        message: For a person.
        metadata: Of the ErrorInfo.
        headers: Patterns of headers, their names written with underscores.
    """
    info = {
        "@type": f"{_TYPE}ErrorInfo",
        "reason": Text("[A-Z][A-Z0-9_]+[A-Z0-9]") if reason is None else reason,
        "domain": "zoco",
        "metadata": metadata,
    }
    among: list[Any] = [info, {"@type": f"{_TYPE}RequestInfo", "requestId": Text(".+")}, *details]
    if field is not None:
        violation = {"field": field, "description": Text(".+")}
        among.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": Including((violation,))})
    shape = {"code": _Code(CODES[status]), "message": message, "details": _Details(tuple(among))}
    return Expected((status,), Exactly(shape), {"content-type": IS_JSON, **_named(headers)})


def early(status: int) -> Expected:
    """What the edge refuses before it has read the headers: the same shape, but there is no id yet."""
    info = {"@type": f"{_TYPE}ErrorInfo", "reason": "MALFORMED_REQUEST", "domain": "zoco"}
    shape = {"code": _Code(CODES[status]), "message": Text(".+"), "details": _Details((info,))}
    return Expected((status,), Exactly(shape), {"content-type": IS_JSON})


def unreadable(field: str) -> Expected:
    """400 for what cannot be decoded, with a text that names the field, and a violation that does."""
    return refused(400, "MALFORMED_REQUEST", message=Text(f".*{re.escape(field)}.*"), field=field)


def invalid(field: str) -> Expected:
    """400 for what breaks a rule of the contract."""
    return refused(400, "INVALID_FIELD", field=field)


def stream(*events: Any, ends: bool = False) -> Expected:
    """Server-sent events."""
    headers = {"content-type": Text(r"text/event-stream\s*(;.*)?")}
    return Expected((200,), headers=headers, events=events, ends=ends)


def detail(name: str, **fields: Any) -> Mapping[str, Any]:
    """A detail of an error by the name of its type in google.rpc."""
    return {"@type": _TYPE + name, **fields}


def _named(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): pattern for name, pattern in headers.items()}


@dataclass(frozen=True)
class _Code:
    """One of a few numbers."""

    codes: tuple[int, ...]

    def differences(self, value: Any, at: str) -> Iterator[str]:
        if type(value) is not int or value not in self.codes:
            yield f"{at} is {value!r}, and none of {', '.join(map(str, self.codes))}"


@dataclass(frozen=True)
class _Details:
    """Details of an error: each says its type, and none of them stands there twice (AIP-193)."""

    among: tuple[Any, ...]

    def differences(self, value: Any, at: str) -> Iterator[str]:
        yield from Each({"@type": Text(r"type\.googleapis\.com/[\w.]+")}, least=1).differences(value, at)
        yield from Including(self.among).differences(value, at)
        if isinstance(value, list):
            types = [str(each.get("@type")) for each in value if isinstance(each, dict)]
            yield from (f"{at} has two of {name}" for name in sorted(set(types)) if types.count(name) > 1)
