"""The routes of the edge: one for each exposed RPC, and nothing else leads to a service.

Matching happens twice, on purpose. A REST request first finds its REST route, which leads nowhere: it only lets the
transcoder work, and carries what filters before the transcoder need. The transcoder then rewrites the path to
`/package.Service/Method` and clears the route, and the request finds the route that gRPC and gRPC-Web clients find.
So what is not exposed has no way to a service under any spelling, and one rule on the gRPC path serves all three.

The transcoder's `match_incoming_request_route` would keep the first route instead. Then every RPC would need its
cluster, deadline and retries twice, and what the transcoder lets pass (gRPC sent to a REST path) would reach a service
as it came.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from gateway.clusters import NOWHERE, PAGE
from gateway.contract import Surface
from gateway.filters import CORS
from gateway.rest import refusal, rest_routes, wrong_method
from gateway.rpc import rpc_route
from gateway.runtime import PORTAL, EdgeRuntime
from gateway.upstream import UNTOUCHED, retry_policy
from gateway.xds import Message, header_is, typed
from mesh.tuning import load_tuning

_HEALTH: Final = "/grpc.health.v1.Health/Check"
_HEALTH_DEADLINE: Final = timedelta(seconds=5)
_REFLECTION: Final = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
_REFLECTION_LIFE: Final = timedelta(minutes=5)

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


def virtual_host(runtime: EdgeRuntime, surface: Surface) -> Message:
    """Give the one virtual host.

    Args:
        runtime: of this edge.
        surface: what is exposed.
    """
    return {
        "name": "edge",
        "domains": ["*"],
        "typed_per_filter_config": {CORS: _cors(runtime)},
        # Retries after an answer are the client's business.
        "retry_policy": retry_policy(load_tuning(), UNTOUCHED, repeats=2),
        "routes": [
            _preflight(),
            *(rpc_route(method.path, method.workload, method.deadline) for method in surface.methods),
            *_portal(runtime),
            *rest_routes(surface),
            refusal({"prefix": "/"}, 404),
        ],
    }


def _portal(runtime: EdgeRuntime) -> Iterator[Message]:
    yield rpc_route(_HEALTH, PORTAL, _HEALTH_DEADLINE)
    if runtime.environment == "dev":
        for path in _REFLECTION:
            yield rpc_route(path, PORTAL, _REFLECTION_LIFE)
    yield {
        "name": "healthz",
        "match": {"path": "/healthz", "headers": [header_is(":method", "GET")]},
        "route": {"cluster": PAGE, "timeout": "5s"},
    }
    yield wrong_method({"path": "/healthz"}, ["GET"])


def _preflight() -> Message:
    # Answered by the CORS filter, which works only where a route leads to a cluster.
    asks = [{"name": name, "present_match": True} for name in ("origin", "access-control-request-method")]
    return {
        "name": "preflight",
        "match": {"prefix": "/", "headers": [header_is(":method", "OPTIONS"), *asks]},
        "route": {"cluster": NOWHERE},
    }


def _cors(runtime: EdgeRuntime) -> Message:
    return typed(
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in runtime.origins],
        allow_methods="GET, POST, PATCH, PUT, DELETE",
        allow_headers=", ".join(_CLIENT_HEADERS),
        expose_headers=", ".join(_ANSWER_HEADERS),
        allow_credentials=True,
        max_age="600",
        # A preflight from elsewhere gets an answer too, but one that allows nothing.
        forward_not_matching_preflights=False,
    )
