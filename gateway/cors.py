"""Which pages of other origins may call, and read what they are told: also why they are refused."""

import json
from collections.abc import Iterator
from typing import Final

from gateway.clusters import NOWHERE
from gateway.contract import Surface
from gateway.refusals import refusal
from gateway.runtime import EdgeRuntime
from gateway.xds import Message, extension, header_is, typed

CORS: Final = "envoy.filters.http.cors"

_CLIENT_HEADERS: Final = (
    "authorization",
    "content-type",
    "grpc-timeout",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-correlation-id",
    "x-grpc-web",
    "x-user-agent",
)
_ANSWER_HEADERS: Final = (
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "retry-after",
    "x-correlation-id",
    "x-request-id",
)


def cors() -> Message:
    """Give the filter that answers preflights and marks answers; for whom, `cors_policy` says."""
    return extension(CORS, "envoy.extensions.filters.http.cors.v3.Cors")


def cors_policy(runtime: EdgeRuntime, surface: Surface) -> Message:
    """Give what the virtual host says of other origins."""
    # Pages are read by GET and gRPC-Web is a POST, whatever the contracts say.
    verbs = {"GET", "POST"}.union(route.verb for method in surface.methods for route in method.routes)
    return typed(
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in runtime.origins],
        allow_methods=", ".join(sorted(verbs)),
        allow_headers=", ".join(_CLIENT_HEADERS),
        expose_headers=", ".join(_ANSWER_HEADERS),
        allow_credentials=True,
        max_age="600",
    )


def readable(runtime: EdgeRuntime, route: Message) -> Message:
    """Give a route so that a page of an allowed origin can read what it answers by itself, such as a 404.

    The CORS filter passes such answers by. Of the headers here none goes out whose value comes out empty.
    """
    if "direct_response" not in route or not runtime.origins:
        return route
    allowed = f"request.headers['origin'] in {json.dumps(runtime.origins)}"
    marks = {
        "access-control-allow-origin": f"%CEL({allowed} ? request.headers['origin'] : '')%",
        "access-control-allow-credentials": f"%CEL({allowed} ? 'true' : '')%",
        "access-control-expose-headers": f"%CEL({allowed} ? '{', '.join(_ANSWER_HEADERS)}' : '')%",
    }
    added = [{"header": {"key": name, "value": value}} for name, value in marks.items()]
    return {**route, "response_headers_to_add": [*route.get("response_headers_to_add", ()), *added]}


def preflights(runtime: EdgeRuntime) -> Iterator[Message]:
    """Give the answers to what browsers ask before a page calls another origin (Fetch, CORS-preflight request).

    For an allowed origin the CORS filter answers, which works only where a route leads to a cluster. It would answer
    others, too, and tell them that credentials are welcome; they are told nothing.
    """
    asks = [header_is(":method", "OPTIONS"), {"name": "access-control-request-method", "present_match": True}]
    for origin in runtime.origins:
        yield {
            "name": "preflight",
            "match": {"prefix": "/", "headers": [*asks, header_is("origin", origin)]},
            "route": {"cluster": NOWHERE},
        }
    elsewhere = {"prefix": "/", "headers": [*asks, {"name": "origin", "present_match": True}]}
    yield {**refusal(elsewhere, 200), "name": "preflight from elsewhere"}
