"""The routes of the edge: one for each exposed RPC, and nothing else leads to a service.

Matching happens twice, on purpose. A REST request first finds its REST route, which leads nowhere: it only lets the
transcoder work, and carries what filters before the transcoder need. The transcoder then rewrites the path to
`/package.Service/Method` and clears the route, and the request finds the route that gRPC and gRPC-Web clients find.
So what is not exposed has no way to a service under any spelling, and one rule on the gRPC path serves all three.

The transcoder's `match_incoming_request_route` would keep the first route instead. Then every RPC would need its
cluster, deadline and retries twice, and what the transcoder lets pass (gRPC sent to a REST path) would reach a service
as it came.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Final

from gateway.clusters import PAGE
from gateway.contract import ExposedMethod, RestRule
from gateway.filters import CORS, transcoding
from gateway.headers import MUTATION, rest_answer
from gateway.runtime import PORTAL, EdgeRuntime
from gateway.templates import PathTemplate, parse_template
from gateway.xds import Message, seconds, typed

_REFLECTION: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_REFLECTION_LIFE: Final = timedelta(minutes=5)
_HEALTH_DEADLINE: Final = timedelta(seconds=5)

# Nothing reached the process, so nothing can happen twice. Retries after an answer are the client's business.
_RETRY: Final[Message] = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 2,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
    "host_selection_retry_max_attempts": 3,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.250s"},
}


def virtual_host(runtime: EdgeRuntime, methods: Sequence[ExposedMethod]) -> Message:
    """Give the one virtual host."""
    return {
        "name": "edge",
        "domains": ["*"],
        "typed_per_filter_config": {CORS: _cors(runtime)},
        "routes": [
            *(_rpc(method.path, method.workload, method.deadline) for method in methods),
            *_portal(runtime),
            *_rest(methods),
            _refuse({"prefix": "/"}, 404),
        ],
    }


def _rpc(path: str, cluster: str, deadline: timedelta) -> Message:
    """Give the route of one RPC.

    The deadline counts from the request's headers, and is what the service finds in grpc-timeout. A client's own
    grpc-timeout may shorten it, not lengthen it.
    """
    lifetime = {"grpc_timeout_header_max": seconds(deadline), "max_stream_duration": seconds(deadline)}
    return {
        "name": path.removeprefix("/"),
        "match": {
            "path": path,
            "headers": [
                {"name": ":method", "string_match": {"exact": "POST"}},
                # With `+proto`, and as gRPC-Web: the filter that makes gRPC of it runs after the route was looked up.
                {"name": "content-type", "string_match": {"prefix": "application/grpc"}},
            ],
        },
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            "max_stream_duration": lifetime,
            "retry_policy": _RETRY,
        },
    }


def _portal(runtime: EdgeRuntime) -> Iterator[Message]:
    yield _rpc("/grpc.health.v1.Health/Check", PORTAL, _HEALTH_DEADLINE)
    if runtime.environment == "dev":
        for service in _REFLECTION:
            yield _rpc(f"/{service}/ServerReflectionInfo", PORTAL, _REFLECTION_LIFE)
    yield {
        "name": "healthz",
        "match": {"path": "/healthz", "headers": [_one_of("GET")]},
        "route": {"cluster": PAGE, "timeout": "5s", "retry_policy": _RETRY},
    }
    yield _wrong_method({"path": "/healthz"}, ["GET"])


def _rest(methods: Sequence[ExposedMethod]) -> Iterator[Message]:
    bindings = [(parse_template(rule.template), rule) for method in methods for rule in method.rules]
    # Fewer variables first: `/v1/products:batchGet` before `/v1/products/{id}`.
    bindings.sort(key=lambda binding: (len(binding[0].variables), binding[0].regex, binding[1].verb))
    for _, group in groupby(bindings, key=lambda binding: binding[0].regex):
        same_path = list(group)
        for template, rule in same_path:
            if rule.body and not rule.raw_body:
                yield _unsupported_type(template, rule)
            yield _transcoded(template, rule)
        yield _wrong_method(_path(same_path[0][0]), [rule.verb for _, rule in same_path])


def _transcoded(template: PathTemplate, rule: RestRule) -> Message:
    return {
        "name": f"{rule.verb} {rule.template}",
        "match": {**_path(template), "headers": [_one_of(rule.verb)]},
        # Never sent: once transcoded, the request is on its gRPC route.
        "direct_response": {"status": 415},
        "typed_per_filter_config": {**transcoding(), MUTATION: rest_answer()},
    }


def _unsupported_type(template: PathTemplate, rule: RestRule) -> Message:
    """Give the refusal of a body that is not JSON (RFC 9110, 15.5.16); one without a type is taken for JSON."""
    wrong = {
        "name": "content-type",
        "string_match": {"safe_regex": {"regex": r"(?i)application/json\s*(;.*)?"}},
        "invert_match": True,
    }
    return _refuse({**_path(template), "headers": [_one_of(rule.verb), wrong]}, 415)


def _wrong_method(match: Message, allowed: list[str]) -> Message:
    """Give the refusal of every other method on a known path, with what it does take (RFC 9110, 15.5.6)."""
    allow = {"header": {"key": "allow", "value": ", ".join(sorted(allowed))}}
    return {**_refuse(match, 405), "response_headers_to_add": [allow]}


def _refuse(match: Message, status: int) -> Message:
    return {"match": match, "direct_response": {"status": status}}


def _path(template: PathTemplate) -> Message:
    if template.literal:
        return {"path": template.text}
    return {"safe_regex": {"regex": template.regex}}


def _one_of(verb: str) -> Message:
    return {"name": ":method", "string_match": {"exact": verb}}


def _cors(runtime: EdgeRuntime) -> Message:
    return typed(
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in runtime.origins],
        allow_methods="GET, POST, PATCH, PUT, DELETE",
        allow_headers=(
            "authorization, content-type, idempotency-key, x-correlation-id, traceparent, tracestate, "
            "x-grpc-web, x-user-agent, grpc-timeout, last-event-id"
        ),
        expose_headers=(
            "grpc-status, grpc-message, grpc-status-details-bin, x-request-id, x-correlation-id, retry-after"
        ),
        allow_credentials=True,
        max_age="600",
    )
