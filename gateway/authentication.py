"""Access tokens at the edge: verified before anything is decoded, with the keys that the contract says who publishes.

The keys are asked for through Envoy itself, on a listener that only this process can reach (keys.py). Until it has been
answered once, the filter fetches them and verifies every token. From then on Envoy is given the filter anew, with the
keys inside, whenever they change. Verified tokens are remembered by one such filter: what it remembers ends with its
keys (docs/decisions/038).
"""

from datetime import timedelta
from typing import Final

from gateway.contract import Surface
from gateway.runtime import EdgeRuntime
from gateway.xds import Message, typed
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

KEYS_DELAY: Final = timedelta(seconds=5)
"""How long Envoy waits, at least, before it asks again what the filter is; by chance up to twice as long."""

_REMEMBERED: Final = 2048
"""Tokens that each of Envoy's threads remembers for a listener, 6.5 kB each; the one seen longest ago is forgotten."""

_RETRY: Final = timedelta(milliseconds=500)
_TIMEOUT: Final = timedelta(seconds=2)

_PROVIDER: Final = "zoco"
_NOBODY: Final = "nobody"
"""An audience that no token is for."""
_REQUIRED: Final = "required"
_OPTIONAL: Final = "optional"


def authentication(runtime: EdgeRuntime, surface: Surface) -> Message:
    """Give the jwt_authn filter: what it is until the keys have been discovered, and where to ask for what it is then.

    Args:
        runtime: issuer and audience.
        surface: who publishes the keys.
    """
    source = {
        "api_type": "REST",
        "transport_api_version": "V3",
        "cluster_names": [KEYS],
        "refresh_delay": json_duration(KEYS_DELAY),
        "request_timeout": json_duration(_TIMEOUT),
    }
    fetching = _filter(runtime, {"remote_jwks": _fetched(surface)})
    return {
        "name": JWT,
        "config_discovery": {
            "config_source": {"resource_api_version": "V3", "api_config_source": source},
            "type_urls": [fetching["@type"]],
            "default_config": fetching,
            # Else nobody is served, not even without a token, before the first keys are there.
            "apply_default_config_without_warming": True,
        },
    }


def discovered(runtime: EdgeRuntime, keys: str) -> Message:
    """Give the filter that verifies tokens with some keys, and remembers the tokens it has verified.

    Args:
        runtime: issuer and audience.
        keys: a JSON Web Key Set.

    Returns:
        A TypedExtensionConfig, as an extension configuration discovery service answers.
    """
    remembering = {"local_jwks": {"inline_string": keys}, "jwt_cache_config": {"jwt_cache_size": _REMEMBERED}}
    return {"name": JWT, "typed_config": _filter(runtime, remembering)}


def token_wanted(method: MethodPolicy) -> Message:
    """Give what a route to a method asks of tokens, both for the route of its RPC and for those of its REST rules."""
    name = _OPTIONAL if method.audience is Audience.PUBLIC else _REQUIRED
    return {JWT: typed("envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig", requirement_name=name)}


def no_token() -> Message:
    """Give what a route says where nobody looks at tokens: it leads to no service, or asks none of whom it serves."""
    return {JWT: typed("envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig", disabled=True)}


def _filter(runtime: EdgeRuntime, keys: Message) -> Message:
    """Give the filter's configuration.

    Routes say whether a token is required. One that says nothing falls to the last rule, which nothing satisfies.
    """
    nobody = {"provider_name": _PROVIDER, "audiences": [_NOBODY]}
    return typed(
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={_PROVIDER: {**_provider(runtime), **keys}},
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


def _provider(runtime: EdgeRuntime) -> Message:
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
    }


def _fetched(surface: Surface) -> Message:
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
