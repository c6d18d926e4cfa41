"""Access tokens at the edge: verified before anything is decoded, with the keys that the contract says who publishes.

The keys are asked for through Envoy itself. A listener that only this process can reach turns the RPC's REST rule into
the RPC, as the public one does, and calls the workload over mTLS: no second way to be trusted, no address to know.
"""

from datetime import timedelta
from typing import Final

from gateway.contract import Surface
from gateway.runtime import EdgeRuntime
from gateway.xds import Message, extension, typed
from mesh.policy import Audience, MethodPolicy
from mesh.tokens import CLOCK_SKEW
from mesh.wire import json_duration

JWT: Final = "envoy.filters.http.jwt_authn"

CLAIMS: Final = "claims"
"""Under this name filters that follow find what a verified token says, in the metadata of `JWT`."""

KEYS: Final = "token-keys"
"""The listener and the cluster by which the keys are asked for."""

KEYS_LIFE: Final = timedelta(seconds=60)
"""How old the keys get, as in mesh.tokens: half the time for which a new key is published before it signs."""

_RETRY: Final = timedelta(milliseconds=500)
_TIMEOUT: Final = timedelta(seconds=2)

_PROVIDER: Final = "zoco"
_NOBODY: Final = "nobody"
"""An audience that no token is for."""
_REQUIRED: Final = "required"
_OPTIONAL: Final = "optional"


def authentication(runtime: EdgeRuntime, surface: Surface) -> Message:
    """Give the jwt_authn filter.

    Routes say whether a token is required. One that says nothing falls to the last rule, which nothing satisfies.

    Args:
        runtime: issuer and audience.
        surface: who publishes the keys.
    """
    nobody = {"provider_name": _PROVIDER, "audiences": [_NOBODY]}
    return extension(
        JWT,
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={_PROVIDER: _provider(runtime, surface)},
        requirement_map={
            _REQUIRED: {"provider_name": _PROVIDER},
            # A bad token is as good as none where everybody may call (docs/decisions/002).
            _OPTIONAL: {
                "requires_any": {"requirements": [{"provider_name": _PROVIDER}, {"allow_missing_or_failed": {}}]}
            },
        },
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_and_audiences": nobody}}],
        # A preflight carries no token, and none is to be had for it (Fetch standard, 3.3.5).
        bypass_cors_preflight=True,
    )


def token_wanted(method: MethodPolicy) -> Message:
    """Give what a route to a method asks of tokens, both for the route of its RPC and for those of its REST rules."""
    name = _OPTIONAL if method.audience is Audience.PUBLIC else _REQUIRED
    return {JWT: typed("envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig", requirement_name=name)}


def no_token() -> Message:
    """Give what a route says where nobody looks at tokens: it leads to no service, or asks none of whom it serves."""
    return {JWT: typed("envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig", disabled=True)}


def _provider(runtime: EdgeRuntime, surface: Surface) -> Message:
    return {
        "issuer": runtime.token_issuer,
        "audiences": [runtime.token_audience],
        "require_expiration": True,
        "clock_skew_seconds": round(CLOCK_SKEW),
        # Said explicitly, or Envoy takes tokens from the query `access_token` too, where logs and referrers show them.
        # The scheme is compared with case here, and without in RFC 9110, 11.1: these are the spellings in use.
        "from_headers": [
            {"name": "authorization", "value_prefix": f"{scheme} "} for scheme in ("Bearer", "bearer", "BEARER")
        ],
        # The service verifies it again, and what Envoy does not look at: type, unknown headers, claims, revocation.
        "forward": True,
        "payload_in_metadata": CLAIMS,
        "remote_jwks": _keys(surface),
    }


def _keys(surface: Surface) -> Message:
    return {
        "http_uri": {
            "uri": f"http://{KEYS}{surface.keys_route.path}",
            "cluster": KEYS,
            "timeout": json_duration(_TIMEOUT),
        },
        # Asked for in the background, before they are needed: no call waits for them, an unknown key id makes nobody
        # ask, and while nobody answers, the keys that are known go on counting.
        "async_fetch": {"fast_listener": False, "failed_refetch_duration": json_duration(_RETRY)},
        "cache_duration": json_duration(KEYS_LIFE),
    }
