"""The routes of the edge: one for each exposed RPC, and nothing else leads to a service.

Matching happens twice, on purpose. A REST request first finds its REST route, which leads nowhere: it only lets the
transcoder work, and carries what filters before the transcoder need. The transcoder then rewrites the path to
`/package.Service/Method` and clears the route, and the request finds the route that gRPC and gRPC-Web clients find.
So what is not exposed has no way to a service under any spelling, and one rule on the gRPC path serves all three.

The transcoder's `match_incoming_request_route` would keep the first route instead. Then every RPC would need its
cluster, deadline and retries twice, and what the transcoder lets pass (gRPC sent to a REST path) would reach a service
as it came.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from gateway.authentication import no_token, token_wanted
from gateway.clusters import PAGE
from gateway.contract import Surface
from gateway.cors import CORS, cors_policy, preflights, readable
from gateway.headers import MUTATION, NOT_INSIDE, page_answer
from gateway.limits import PORTAL_LIMIT, counted
from gateway.lookup import by_beginning
from gateway.portal.assets import PAGES
from gateway.refusals import refusal, wrong_method
from gateway.rest import rest_routes
from gateway.rpc import rpc_route
from gateway.runtime import EdgeRuntime
from gateway.upstream import UNTOUCHED, retry_policy
from gateway.xds import Message, header_is
from mesh.policy import MethodPolicy, RateLimit
from mesh.tuning import Tuning
from mesh.wellknown import HEALTH_CHECK, HEALTH_PAGE, PORTAL

_HEALTH_DEADLINE: Final = timedelta(seconds=5)
REFLECTION: Final = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
_REFLECTION_LIFE: Final = timedelta(minutes=5)


def virtual_host(runtime: EdgeRuntime, surface: Surface, tuning: Tuning) -> Message:
    """Give the one virtual host.

    Args:
        runtime: of this edge.
        surface: what is exposed.
        tuning: how repeats are spaced.
    """
    return {
        "name": "edge",
        "domains": ["*"],
        "typed_per_filter_config": {CORS: cors_policy(runtime, surface)},
        # Retries after an answer are the client's business.
        "retry_policy": retry_policy(tuning, UNTOUCHED, repeats=2),
        "request_headers_to_remove": NOT_INSIDE,
        "matcher": by_beginning(list(all_routes(runtime, surface))),
    }


def all_routes(runtime: EdgeRuntime, surface: Surface) -> Iterator[Message]:
    """Give the routes in the order in which they count: the first that matches is taken."""
    routes = (
        *preflights(runtime),
        _two_hosts(),
        _two_tokens(),
        _coded(),
        _compressed(),
        *map(_exposed, surface.methods),
        *_portal(runtime),
        *rest_routes(surface),
        refusal({"prefix": "/"}, 404),
    )
    return (readable(runtime, route) for route in routes)


def open_paths(runtime: EdgeRuntime) -> tuple[str, ...]:
    """Give the paths of what the portal answers, which anybody may call."""
    return (HEALTH_PAGE, *PAGES, HEALTH_CHECK, *(REFLECTION if runtime.environment == "dev" else ()))


def _exposed(method: MethodPolicy) -> Message:
    return _checked(rpc_route(method.path, method.workload, method.deadline), token_wanted(method), method.rate_limits)


def _checked(route: Message, token: Message, limits: Iterable[RateLimit]) -> Message:
    return {**route, **counted(limits), "typed_per_filter_config": token}


def _portal(runtime: EdgeRuntime) -> Iterator[Message]:
    rpcs = [rpc_route(HEALTH_CHECK, PORTAL, _HEALTH_DEADLINE)]
    if runtime.environment == "dev":
        rpcs += [rpc_route(path, PORTAL, _REFLECTION_LIFE) for path in REFLECTION]
    yield from (_checked(route, no_token(), [PORTAL_LIMIT]) for route in (*rpcs, _page(HEALTH_PAGE)))
    browsers = {**no_token(), MUTATION: page_answer()}
    yield from (_checked(_page(path), browsers, [PORTAL_LIMIT]) for path in PAGES)
    yield from (wrong_method({"path": path}, ["GET"]) for path in (HEALTH_PAGE, *PAGES))


def _page(path: str) -> Message:
    return {
        "name": path,
        "match": {"path": path, "headers": [header_is(":method", "GET")]},
        "route": {"cluster": PAGE, "timeout": "5s"},
    }


def _two_hosts() -> Message:
    """Give the refusal of a second Host header (RFC 9112, 3.2), whose values Envoy joins, too."""
    joined = {"name": ":authority", "string_match": {"contains": ","}}
    return refusal({"prefix": "/", "headers": [joined]}, 400, "the request names more than one host")


def _coded() -> Message:
    """Give the refusal of a body in a content coding: the transcoder would take its bytes for JSON."""
    asked = {"name": "content-encoding", "present_match": True}
    other = {
        "name": "content-encoding",
        "string_match": {"exact": "identity", "ignore_case": True},
        "invert_match": True,
    }
    refused = refusal({"prefix": "/", "headers": [asked, other]}, 415)
    # What is taken instead (RFC 9110, 12.5.3).
    return {**refused, "response_headers_to_add": [{"header": {"key": "accept-encoding", "value": "identity"}}]}


def _two_tokens() -> Message:
    """Give the refusal of a second Authorization header: who is meant must not depend on who reads it.

    Envoy joins the values of one name by commas before it matches. No token has one (RFC 6750, 2.1).
    """
    joined = {"name": "authorization", "string_match": {"contains": ","}}
    return refusal({"prefix": "/", "headers": [joined]}, 401)


def _compressed() -> Message:
    """Give the refusal of compressed gRPC messages: how large they get is known only once they are in memory."""
    asked = {"name": "grpc-encoding", "present_match": True}
    other = {"name": "grpc-encoding", "string_match": {"exact": "identity"}, "invert_match": True}
    refused = refusal({"prefix": "/", "headers": [asked, other]}, 501)
    # What is taken instead (gRPC over HTTP/2, Message-Encoding).
    taken = {"header": {"key": "grpc-accept-encoding", "value": "identity"}}
    return {**refused, "response_headers_to_add": [taken]}
