"""The HTTP filters of the edge, in the order a request passes them. Answers pass them in reverse."""

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from gateway.authentication import JWT, authentication
from gateway.authorization import RBAC, authorization
from gateway.contract import Surface
from gateway.cors import CORS, cors
from gateway.headers import MUTATION, passage
from gateway.limits import BY_ADDRESS, BY_SUBJECT, Limits, limiter
from gateway.runtime import EdgeRuntime
from gateway.violations import VIOLATIONS, violations
from gateway.xds import Message, extension, resting

HEALTH: Final = "envoy.filters.http.health_check"
COMPRESSOR: Final = "envoy.filters.http.compressor"
BODY_LIMIT: Final = "envoy.filters.http.body_size_limit"
GRPC_WEB: Final = "envoy.filters.http.grpc_web"
TRANSCODER: Final = "envoy.filters.http.grpc_json_transcoder"
ROUTER: Final = "envoy.filters.http.router"

LIVE: Final = "/livez"
"""Whether this edge takes requests, whatever stands behind it: for whoever restarts or balances edges."""

MAX_BODY_BYTES: Final = 3 * 1024 * 1024
"""Of a REST request and of a REST answer; below the 4 MiB at which gRPC itself refuses a message."""

_COMPRESSED: Final = ("application/json", "text/html", "text/css", "text/javascript")
"""Types of content that are worth it."""

_COMPRESS_FROM: Final = 1024


class FilterRule(NamedTuple):
    """A filter's place in the order, and why it stands there."""

    name: str
    reason: str


FILTERS: Final = (
    FilterRule(HEALTH, "first: answers for the edge itself, and needs nothing of what follows"),
    FilterRule(CORS, "before authentication: a preflight carries no token, and a refusal must be readable by the page"),
    FilterRule(MUTATION, "before whatever refuses: every answer carries its ids and the security headers"),
    FilterRule(COMPRESSOR, "before the transcoder: answers come back through it as JSON, not as gRPC"),
    FilterRule(BY_ADDRESS, "before any cryptography: a flood costs a look into a table"),
    FilterRule(JWT, "who is it? before a body is read"),
    FilterRule(BY_SUBJECT, "after the token is verified: its subject is what is counted"),
    FilterRule(
        BODY_LIMIT, "before anything holds a body: the transcoder's own limit does not bound what streams through"
    ),
    FilterRule(
        VIOLATIONS, "before the transcoder and after the compressor: it reads refusals of the one, not yet compressed"
    ),
    FilterRule(GRPC_WEB, "before the transcoder, which must see gRPC-Web as the gRPC it becomes"),
    FilterRule(TRANSCODER, "from here on REST, gRPC-Web and gRPC all have the path /package.Service/Method"),
    FilterRule(RBAC, "after the transcoder: one rule table serves all three"),
    FilterRule(ROUTER, "last: it calls the service"),
)
"""The order of the filters. A test asserts it."""


def http_filters(
    runtime: EdgeRuntime, surface: Surface, limits: Limits, *, tls: bool, open_paths: Collection[str]
) -> list[Message]:
    """Give the filter chain.

    Args:
        runtime: of this edge.
        surface: what is exposed.
        limits: its rate limits.
        tls: whether it stands behind TLS.
        open_paths: what anybody may call beside the surface.
    """
    builders: Mapping[str, Callable[[], Message]] = {
        HEALTH: _health,
        CORS: cors,
        # Not in dev: HSTS binds the host name whatever the port, and on localhost other people's things run too.
        MUTATION: lambda: passage(strict_transport=tls and runtime.environment == "production"),
        COMPRESSOR: _compressor,
        BY_ADDRESS: lambda: limiter(BY_ADDRESS, limits),
        JWT: lambda: authentication(runtime, surface),
        BY_SUBJECT: lambda: limiter(BY_SUBJECT, limits),
        BODY_LIMIT: _body_limit,
        VIOLATIONS: violations,
        GRPC_WEB: lambda: extension(GRPC_WEB, "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"),
        TRANSCODER: lambda: transcoder(runtime, {method.service for method in surface.methods if method.routes}),
        RBAC: lambda: authorization(surface, open_paths),
        ROUTER: router,
    }
    return [builders[rule.name]() for rule in FILTERS]


def router() -> Message:
    """Give the filter that calls."""
    return extension(
        ROUTER,
        "envoy.extensions.filters.http.router.v3.Router",
        # x-envoy-upstream-service-time and its like are nobody's business outside.
        suppress_envoy_headers=True,
    )


def transcoder(runtime: EdgeRuntime, services: Collection[str]) -> Message:
    """Give the transcoder of some services, by full name; without the route's leave a request passes it untouched."""
    config = extension(
        TRANSCODER,
        "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=runtime.files.descriptors,
        services=sorted(services),
        # Only google.api.http rules, or `POST /package.Service/Method` with JSON would be a second REST surface.
        auto_mapping=False,
        convert_grpc_status=True,
        print_options={
            "always_print_primitive_fields": True,
            "always_print_enums_as_ints": False,
            "preserve_proto_field_names": False,
            "stream_newline_delimited": False,
            "stream_sse_style_delimited": True,
        },
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        url_unescape_spec="ALL_CHARACTERS_EXCEPT_SLASH",
        query_param_unescape_plus=True,
        max_request_body_size=MAX_BODY_BYTES,
        max_response_body_size=MAX_BODY_BYTES,
    )
    return resting(config)


def _health() -> Message:
    return extension(
        HEALTH,
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[
            {"name": ":path", "string_match": {"exact": LIVE}},
            # Else every method is answered: by itself the filter looks at the path alone.
            {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
        ],
    )


def _compressor() -> Message:
    library = extension(
        "gzip",
        "envoy.extensions.compression.gzip.compressor.v3.Gzip",
        # Half the size for a tenth of the time that the best level takes.
        compression_level="BEST_SPEED",
    )
    return extension(
        COMPRESSOR,
        "envoy.extensions.filters.http.compressor.v3.Compressor",
        compressor_library=library,
        response_direction_config={
            # Events of a watch go out as they happen, and gRPC has a compression of its own.
            "common_config": {
                "min_content_length": _COMPRESS_FROM,
                "content_type_matcher": [{"prefix": prefix} for prefix in _COMPRESSED],
            },
            # The edge compresses, or nobody does: the transcoder reads uncompressed frames only.
            "remove_accept_encoding_header": True,
        },
    )


def _body_limit() -> Message:
    return extension(
        BODY_LIMIT,
        "envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit",
        max_request_bytes=MAX_BODY_BYTES,
    )
