"""The HTTP filters of the edge, in the order a request passes them. Answers pass them in reverse."""

from typing import Final

from gateway.contract import Surface
from gateway.headers import passage
from gateway.runtime import EdgeRuntime
from gateway.xds import Message, extension, typed

CORS: Final = "envoy.filters.http.cors"
TRANSCODER: Final = "envoy.filters.http.grpc_json_transcoder"

MAX_BODY_BYTES: Final = 3 * 1024 * 1024
"""Of a REST request and of a REST answer; below the 4 MiB at which gRPC itself refuses a message."""


def http_filters(runtime: EdgeRuntime, surface: Surface, *, tls: bool) -> list[Message]:
    """Give the filter chain.

    Limits by address, JWT and limits by subject belong between `passage` and gRPC-Web: cheap refusals first, and all of
    them before a body is decoded. RBAC belongs between the transcoder, after which REST, gRPC-Web and gRPC all have the
    path `/package.Service/Method`, and the router.
    """
    return [
        # Before authentication: a preflight carries no token. Which origins may call stands in the virtual host.
        extension(CORS, "envoy.extensions.filters.http.cors.v3.Cors"),
        # Not in dev: HSTS binds the host name whatever the port, and on localhost other people's things run too.
        passage(strict_transport=tls and runtime.environment == "production"),
        # The transcoder's own limit bounds what it holds, not what passes through it.
        extension(
            "envoy.filters.http.body_size_limit",
            "envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit",
            max_request_bytes=MAX_BODY_BYTES,
        ),
        # Before the transcoder, which must see gRPC-Web as the gRPC it becomes.
        extension("envoy.filters.http.grpc_web", "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"),
        _transcoder(runtime, surface),
        extension(
            "envoy.filters.http.router",
            "envoy.extensions.filters.http.router.v3.Router",
            # x-envoy-upstream-service-time and its like are nobody's business outside.
            suppress_envoy_headers=True,
        ),
    ]


def transcoding() -> Message:
    """Give the route's leave to transcode: without it a request passes the transcoder untouched."""
    return {TRANSCODER: typed("envoy.config.route.v3.FilterConfig", config={}, disabled=False)}


def _transcoder(runtime: EdgeRuntime, surface: Surface) -> Message:
    config = extension(
        TRANSCODER,
        "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=runtime.files.descriptors,
        services=sorted({method.service for method in surface.methods if method.routes}),
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
    return {**config, "disabled": True}
