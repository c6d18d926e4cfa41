"""Errors as the document tells them: which status, for which reasons, in the one shape that all of them have.

Reasons, their codes and what they mean come from the comments of `zoco.mesh.v1.ErrorReason`; which an RPC gives, from
its own comment.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Final

from google.rpc.code_pb2 import Code

from gateway.contract import ContractError
from gateway.openapi.constraints import Schema
from gateway.openapi.contract import Types
from gateway.openapi.schemas import Schemas, Use
from mesh.policy import Audience, MethodPolicy
from zoco.mesh.v1.error_reason_pb2 import ErrorReason

# google/rpc/code.proto.
_STATUS: Final[Mapping[str, HTTPStatus]] = {
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "FAILED_PRECONDITION": HTTPStatus.BAD_REQUEST,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "ALREADY_EXISTS": HTTPStatus.CONFLICT,
    "ABORTED": HTTPStatus.CONFLICT,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "INTERNAL": HTTPStatus.INTERNAL_SERVER_ERROR,
    "UNIMPLEMENTED": HTTPStatus.NOT_IMPLEMENTED,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "DEADLINE_EXCEEDED": HTTPStatus.GATEWAY_TIMEOUT,
}

_REASONS: Final = "zoco.mesh.v1.ErrorReason"

_ALWAYS: Final = ("RATE_LIMITED", "OVERLOADED", "INTERNAL_ERROR", "DEPENDENCY_UNAVAILABLE", "DRAINING", "DEADLINE_OVER")

_DETAILS: Final = ("ErrorInfo", "BadRequest", "PreconditionFailure", "ResourceInfo", "RetryInfo", "RequestInfo")
"""What stands in `details`, of google/rpc/error_details.proto."""

HEADERS: Final[Mapping[str, Schema]] = {
    "RequestId": {"description": "By which the logs tell of this request.", "schema": {"type": "string"}},
    "RetryAfter": {
        "description": "When to come back, in seconds (RFC 9110, 10.2.3).",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Challenge": {"description": "How to authenticate (RFC 6750, 3).", "schema": {"type": "string"}},
}
"""The headers that answers have, as components of the document."""

REQUEST_ID: Final = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
"""What every answer has."""

_WAITS: Final = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
_CHALLENGE: Final = {"WWW-Authenticate": {"$ref": "#/components/headers/Challenge"}}

_HEADERS: Final = {
    HTTPStatus.UNAUTHORIZED: _CHALLENGE,
    HTTPStatus.TOO_MANY_REQUESTS: _WAITS,
    HTTPStatus.SERVICE_UNAVAILABLE: _WAITS,
}


def error_responses(method: MethodPolicy, types: Types, schemas: Schemas, *, has_body: bool) -> dict[str, Schema]:
    """Give the error responses of an RPC, by HTTP status.

    Raises:
        ContractError: a reason's comment does not begin with its code.
    """
    by_status: dict[HTTPStatus, list[str]] = {}
    for reason in _reasons_of(method, types):
        by_status.setdefault(_status_of(reason, types), []).append(reason)
    told = {status: _listed(reasons, types) for status, reasons in by_status.items()}
    if has_body:
        told[HTTPStatus.REQUEST_ENTITY_TOO_LARGE] = "The body is larger than what is taken."
        told[HTTPStatus.UNSUPPORTED_MEDIA_TYPE] = "The body is not `application/json`."
    schemas.message("google.rpc.Status", Use.ANSWER)
    return {str(status.value): error_response(status, text) for status, text in sorted(told.items())}


def error_response(status: HTTPStatus, text: str) -> Schema:
    """Give the response of one status: the one shape that errors have, and the headers that go with the status."""
    return {
        "description": text,
        "headers": {**REQUEST_ID, **_HEADERS.get(status, {})},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def error_detail(types: Types, schemas: Schemas) -> Schema:
    """Give the schema of one entry of an error's `details`: a message of google.rpc, told by its `@type`."""
    kinds = []
    for name in _DETAILS:
        full_name = f"google.rpc.{name}"
        made = schemas.object(full_name, Use.ANSWER)
        # Written by services and by Envoy, which differ in whether they show what is empty.
        made.pop("required", None)
        made["properties"] = {
            "@type": {"type": "string", "const": f"type.googleapis.com/{full_name}"},
            **made["properties"],
        }
        made["required"] = ["@type"]
        made["title"] = name
        kinds.append(made)
    reasons = [value.name for value in types.enums[_REASONS].value if value.number]
    kinds[0]["properties"]["reason"] |= {"x-extensible-enum": reasons, "description": _listed(reasons, types)}
    kinds[0]["properties"]["domain"] |= {"const": "zoco"}
    return {"description": "What a program can go by (google/rpc/error_details.proto, AIP-193).", "oneOf": kinds}


def _reasons_of(method: MethodPolicy, types: Types) -> Iterable[str]:
    said = types.comment(f"{method.service}.{method.name}")
    named = [word for word in re.findall(r"\b[A-Z][A-Z_]+\b", said) if word in ErrorReason.keys()]  # noqa: SIM118
    return dict.fromkeys([*_implied(method), *named, *_ALWAYS])


def _implied(method: MethodPolicy) -> Iterator[str]:
    """Give the reasons that follow from the contract's options."""
    yield from ("INVALID_FIELD", "MALFORMED_REQUEST")
    if method.keyed:
        yield from ("IDEMPOTENCY_KEY_REUSED", "IDEMPOTENT_CALL_RUNNING")
    if method.needs_user:
        yield from ("TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED")
    if method.audience is Audience.ADMIN:
        yield "ROLE_REQUIRED"
    if method.owner_field or any("{" in route.path for route in method.routes):
        yield "RESOURCE_NOT_FOUND"


def _status_of(reason: str, types: Types) -> HTTPStatus:
    code = types.comment(f"{_REASONS}.{reason}").partition(".")[0]
    if code not in Code.keys() or code not in _STATUS:  # noqa: SIM118 - an enum wrapper is no dict
        raise ContractError(f"The comment of {_REASONS}.{reason} must begin with its status code.")
    return _STATUS[code]


def _listed(reasons: Iterable[str], types: Types) -> str:
    """Give reasons with what they mean, as a list in Markdown; codes and examples stay behind."""

    def meaning(reason: str) -> str:
        text = types.comment(f"{_REASONS}.{reason}").partition(". ")[2]
        return re.sub(r"\s*`\{.*\}`$", "", text)

    return "\n".join(f"- `{reason}`: {meaning(reason)}" for reason in reasons)
