"""Headers at the edge: what a client may not say, what every call carries inside, what every answer tells a browser."""

from typing import Any, Final

from gateway.xds import Message, extension, typed

# Inside, these would be believed: who the caller is, how long it has, where it came from.
_FORBIDDEN: Final = ("x-role", "x-forwarded-client-cert", "x-original-path", "x-original-method", "baggage")
_FORBIDDEN_PREFIXES: Final = ("x-user-", "x-envoy-", "x-zoco-")
# Binary metadata is for the mesh's own use (error details, trace formats of old); no client of this surface sends any.
_FORBIDDEN_SUFFIXES: Final = ("-bin",)

# HTTP lets a name have characters that gRPC's metadata cannot (gRPC over HTTP/2, Custom-Metadata): a service would
# answer such a call INTERNAL, bare. Nothing here reads them.
_NOT_OF_GRPC: Final = r".*[^0-9a-z_.:\-].*"

NOT_INSIDE: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-envoy-original-method")
"""What the edge keeps to itself: which way a client came. Services do not ask, and part of it only the client says."""

_MAX_CORRELATION_ID: Final = 128

_ANSWER: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-resource-policy": "same-origin",
    # Who may read an answer depends on who asks, and its form on what they understand, which a cache must know.
    "vary": "origin, accept-encoding",
}


# Swagger UI sets styles in its elements and has its icons as data.
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_GRPC_ANSWER: Final = ("grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-accept-encoding")

MUTATION: Final = "envoy.filters.http.header_mutation"


def arrival() -> Message:
    """Give the mutation of a request before anything looks at it, Envoy's own reading of x-request-id included."""
    removed = [
        *({"exact": name} for name in _FORBIDDEN),
        *({"prefix": prefix} for prefix in _FORBIDDEN_PREFIXES),
        *({"suffix": suffix} for suffix in _FORBIDDEN_SUFFIXES),
        {"safe_regex": {"regex": _NOT_OF_GRPC}},
        # It is made here, once: a client that picks it could make its calls look like somebody else's in the logs.
        {"exact": "x-request-id"},
    ]
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[{"remove_on_match": {"key_matcher": matcher}} for matcher in removed],
    )


def passage(*, strict_transport: bool) -> Message:
    """Give the header_mutation filter: correlation id inwards; ids and security headers outwards.

    Args:
        strict_transport: whether browsers shall never again use this host without TLS (HSTS, RFC 6797).
    """
    answer = dict(_ANSWER)
    if strict_transport:
        answer["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    correlation = f"%REQ(X-CORRELATION-ID?X-REQUEST-ID):{_MAX_CORRELATION_ID}%"
    return extension(
        MUTATION,
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [_set("x-correlation-id", correlation)],
            "response_mutations": [
                _set("x-correlation-id", "%REQ(X-CORRELATION-ID)%"),
                *(_set(name, value) for name, value in answer.items()),
                # Envoy marks what its rate limits refuse; the status says it already.
                {"remove": "x-envoy-ratelimited"},
            ],
        },
    )


def rest_answer() -> Message:
    """Give the route's addition to `passage`: REST clients are not told how gRPC put it."""
    return typed(
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
        mutations={"response_mutations": [{"remove": name} for name in _GRPC_ANSWER]},
    )


def page_answer() -> Message:
    """Give the route's addition to `passage` for the portal's pages, which are made of parts; all are from here."""
    return typed(
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
        mutations={"response_mutations": [_set("content-security-policy", _PAGE_POLICY)]},
    )


def _set(name: str, value: str) -> dict[str, Any]:
    return {
        "append": {
            "header": {"key": name, "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    }
