"""What Envoy says by itself, in the shape every error has: `{"code", "message", "details"}` with google.rpc details.

A reply of Envoy's becomes one of two things, and what fits one breaks the other. For a gRPC client it becomes
grpc-status and grpc-message, so the text must stay text, and details travel in grpc-status-details-bin. For everybody
else it becomes the body; that includes REST calls throughout, although their headers say gRPC once they are transcoded.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import (
    DEADLINE_EXCEEDED,
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
)
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from gateway.xds import Message, extension
from mesh.decision import ADMIN
from zoco.mesh.v1 import error_reason_pb2
from zoco.mesh.v1.error_reason_pb2 import ErrorReason

# Envoy's own names for where a reply came from.
_BY_TRANSCODER: Final = "response.code_details.contains('grpc_json_transcode_failure')"
_BY_ROUTE: Final = "response.code_details == 'direct_response'"
_EXPIRED: Final = "response.code_details.contains('Jwt_is_expired')"
_MISSING: Final = "response.code_details.contains('Jwt_is_missing') && !('authorization' in request.headers)"
_ELSEWHERE: Final = "response.code_details.contains('jwt_authn_access_denied')"
_NO_KEYS: Final = "response.code_details.contains('Jwks_remote_fetch_is_failed')"

_CHALLENGE: Final = 'Bearer realm="zoco"'
_INVALID: Final = 'Bearer realm="zoco", error="invalid_token"'


@dataclass(frozen=True)
class Reply:
    """An error of the edge's own.

    Attributes:
        status: the HTTP status.
        code: the google.rpc.Code in the JSON body.
        reason: of zoco.mesh.v1.ErrorReason.
        message: for a person.
        grpc: the code a gRPC client gets, where it is another one.
        metadata: of the ErrorInfo.
        when: what must hold beside the status; None: it is for all the rest of that status.
        becomes: the HTTP status that the client gets instead.
        challenge: how to authenticate (RFC 6750, 3), for a 401.
        waits: whether it says when to come back.
    """

    status: int
    code: int
    reason: "ErrorReason.ValueType"
    message: str
    grpc: int | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    when: Message | None = None
    becomes: int | None = None
    challenge: str = ""
    waits: bool = False


_MALFORMED: Final = error_reason_pb2.MALFORMED_REQUEST
_DOWN: Final = error_reason_pb2.DEPENDENCY_UNAVAILABLE


def cel(expression: str) -> Message:
    """Give a filter that holds where a CEL expression over Envoy's attributes does."""
    return {
        "extension_filter": extension(
            "envoy.access_loggers.extension_filters.cel",
            "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            expression=expression,
        )
    }


REPLIES: Final = (
    Reply(400, INVALID_ARGUMENT, _MALFORMED, "the request cannot be read"),
    Reply(
        *(401, UNAUTHENTICATED, error_reason_pb2.TOKEN_MISSING, "this call needs an access token"),
        when=cel(_MISSING),
        challenge=_CHALLENGE,
    ),
    Reply(
        *(401, UNAUTHENTICATED, error_reason_pb2.TOKEN_EXPIRED, "the access token has expired; refresh it"),
        when=cel(_EXPIRED),
        challenge=_INVALID,
    ),
    # Whether the token holds is not known: nobody has given the keys yet.
    Reply(401, UNAVAILABLE, _DOWN, "the service cannot be reached", when=cel(_NO_KEYS), becomes=503),
    Reply(
        *(401, UNAUTHENTICATED, error_reason_pb2.TOKEN_INVALID, "the access token is not valid"),
        challenge=_INVALID,
    ),
    # Envoy knows whose token it is, but it is for somebody else: to us a bad token like any other.
    Reply(
        *(403, UNAUTHENTICATED, error_reason_pb2.TOKEN_INVALID, "the access token is not valid"),
        when=cel(_ELSEWHERE),
        becomes=401,
        challenge=_INVALID,
    ),
    Reply(
        *(403, PERMISSION_DENIED, error_reason_pb2.ROLE_REQUIRED, "this call is for administrators"),
        metadata=(("required", ADMIN),),
    ),
    Reply(404, NOT_FOUND, error_reason_pb2.METHOD_UNKNOWN, "there is nothing at this path", grpc=UNIMPLEMENTED),
    Reply(405, UNIMPLEMENTED, error_reason_pb2.METHOD_UNKNOWN, "this path does not take this method"),
    Reply(408, DEADLINE_EXCEEDED, error_reason_pb2.DEADLINE_OVER, "the request did not arrive in time"),
    Reply(413, INVALID_ARGUMENT, _MALFORMED, "the body is too large", grpc=RESOURCE_EXHAUSTED),
    Reply(415, INVALID_ARGUMENT, _MALFORMED, "the body must be application/json, in no content coding"),
    Reply(426, INVALID_ARGUMENT, _MALFORMED, "this protocol is not spoken here"),
    Reply(429, RESOURCE_EXHAUSTED, error_reason_pb2.RATE_LIMITED, "too many requests", waits=True),
    Reply(431, INVALID_ARGUMENT, _MALFORMED, "the headers are too large"),
    Reply(500, INTERNAL, error_reason_pb2.INTERNAL_ERROR, "something went wrong"),
    Reply(501, UNIMPLEMENTED, _MALFORMED, "compressed messages are not taken here"),
    Reply(502, UNAVAILABLE, _DOWN, "the service cannot be reached"),
    Reply(503, UNAVAILABLE, _DOWN, "the service cannot be reached"),
    Reply(504, DEADLINE_EXCEEDED, error_reason_pb2.DEADLINE_OVER, "the service did not answer in time"),
    # A connection failed; while another was tried, the body came and did not fit into the buffer. Nobody has seen it.
    Reply(507, UNAVAILABLE, _DOWN, "the service cannot be reached"),
)


def local_replies(wait: timedelta) -> Message:
    """Give the HTTP connection manager's `local_reply_config`. The first mapper that matches is taken.

    Args:
        wait: when to come back, for gRPC clients; REST clients are told to the second, as in Retry-After.
    """
    plain = _any(_no_grpc_request(), _transcoded_request())
    return {
        "mappers": [
            _undecodable(),
            *({"filter": all_of(plain, *_conditions(reply)), **_as_body(reply)} for reply in REPLIES),
            *({"filter": all_of(*_conditions(reply)), **as_grpc(reply, wait)} for reply in REPLIES),
        ]
    }


def _conditions(reply: Reply) -> list[Message]:
    return [status_is(reply.status), *([reply.when] if reply.when else [])]


def _undecodable() -> Message:
    # The transcoder says which field is wrong and how; a route that refuses says why.
    reply = Reply(400, INVALID_ARGUMENT, _MALFORMED, "%LOCAL_REPLY_BODY%")
    return {"filter": all_of(status_is(400), _any(cel(_BY_TRANSCODER), cel(_BY_ROUTE))), **_as_body(reply)}


def _as_body(reply: Reply) -> Message:
    details: list[dict[str, Any]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": ErrorReason.Name(reply.reason),
            "domain": "zoco",
            "metadata": dict(reply.metadata),
        },
        {
            "@type": "type.googleapis.com/google.rpc.RequestInfo",
            "requestId": "%REQ(X-REQUEST-ID)%",
            "servingData": "",
        },
    ]
    if reply.waits:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "%RESP(RETRY-AFTER)%s"})
    return {
        **_changes(reply),
        "body_format_override": {
            "json_format": {"code": reply.code, "message": reply.message, "details": details},
            "content_type": "application/json",
            # What Envoy refuses before it read the headers has no request id.
            "omit_empty_values": True,
        },
    }


def as_grpc(reply: Reply, wait: timedelta | None = None) -> Message:
    """Give what a mapper does so that a gRPC client gets this reply with its details.

    Args:
        reply: the reply.
        wait: when to come back, where it says so.
    """
    code = reply.code if reply.grpc is None else reply.grpc
    status = Status(code=code, message=reply.message)
    status.details.add().Pack(
        ErrorInfo(reason=ErrorReason.Name(reply.reason), domain="zoco", metadata=dict(reply.metadata))
    )
    if reply.waits and wait is not None:
        delay = Duration()
        delay.FromTimedelta(wait)
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    details = base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")
    headers = {"grpc-status": str(code), "grpc-status-details-bin": details}
    return {
        **_changes(reply, headers),
        "body_format_override": {"text_format_source": {"inline_string": reply.message}},
    }


def _changes(reply: Reply, headers: Mapping[str, str] = MappingProxyType({})) -> Message:
    """Give what a mapper changes of status and headers."""
    said = {**headers, **({"www-authenticate": reply.challenge} if reply.challenge else {})}
    added = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in said.items()
    ]
    return {
        **({"status_code": reply.becomes} if reply.becomes else {}),
        **({"headers_to_add": added} if added else {}),
    }


def all_of(*filters: Message) -> Message:
    """Give a filter that holds where all of these do."""
    return {"and_filter": {"filters": list(filters)}} if len(filters) > 1 else filters[0]


def _any(*filters: Message) -> Message:
    return {"or_filter": {"filters": list(filters)}}


def status_is(status: int) -> Message:
    """Give a filter for one HTTP status."""
    value = {"default_value": status, "runtime_key": f"zoco.edge.reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _no_grpc_request() -> Message:
    header = {
        "name": "content-type",
        "string_match": {"prefix": "application/grpc"},
        "invert_match": True,
        "treat_missing_header_as_empty": True,
    }
    return {"header_filter": {"header": header}}


def _transcoded_request() -> Message:
    # Said by the transcoder: a client's own is removed on arrival.
    return {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True}}}
