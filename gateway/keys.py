"""The way from the edge to itself by which it asks for the keys of tokens: REST in, the RPC out.

Envoy asks in the background on its main thread, which reaches no listener of the kind that lives inside the
process (`envoy_internal_address`). So this one has a socket file, for nobody but the edge's own account. It calls the
workload over mTLS as the public listeners do: no second way to be trusted, no address to know.
"""

from datetime import timedelta
from typing import Final

from gateway.authentication import KEYS
from gateway.clusters import NOWHERE
from gateway.contract import Surface
from gateway.discovery import DISCOVERY, DISCOVERY_PATH, discovery
from gateway.filters import TRANSCODER, router, transcoder
from gateway.runtime import EdgeRuntime
from gateway.xds import Message, awake, extension, header_is
from mesh.wire import json_duration

CORRELATION: Final = "edge-token-keys"
"""The correlation id of these calls: so the logs of the workload that answers show who asked and why."""

_AT_ONCE: Final = 16
_RATE: Final = {"max_tokens": 20, "tokens_per_fill": 20, "fill_interval": json_duration(timedelta(seconds=1))}


def keys_listener(runtime: EdgeRuntime, surface: Surface) -> Message:
    """Give the listener on the edge's socket file."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    # While there are no keys at all, every call that brings a token asks for them.
    limiter = extension(
        "envoy.filters.http.local_ratelimit",
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="token_keys",
        token_bucket=_RATE,
        filter_enabled=always,
        filter_enforced=always,
    )
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="token_keys",
        http_filters=[limiter, discovery(runtime, surface), transcoder(runtime, {surface.keys.service}), router()],
        route_config={"name": KEYS, "virtual_hosts": [_virtual_host(surface)]},
    )
    return {"name": KEYS, "address": _socket(runtime), "filter_chains": [{"filters": [manager]}]}


def keys_cluster(runtime: EdgeRuntime) -> Message:
    """Give the cluster whose only member is that listener."""
    bounds = {"max_connections": _AT_ONCE, "max_pending_requests": _AT_ONCE, "max_requests": _AT_ONCE}
    return {
        "name": KEYS,
        "type": "STATIC",
        "connect_timeout": json_duration(1.0),
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **bounds}]},
        "load_assignment": {
            "cluster_name": KEYS,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(runtime)}}]}],
        },
    }


def _socket(runtime: EdgeRuntime) -> Message:
    return {"pipe": {"path": runtime.files.keys_socket, "mode": 0o600}}


def _virtual_host(surface: Surface) -> Message:
    rest = {
        "match": {"path": surface.keys_route.path, "headers": [header_is(":method", "GET")]},
        "route": {"cluster": NOWHERE},
        "typed_per_filter_config": awake(TRANSCODER),
    }
    asked = {
        "match": {"path": DISCOVERY_PATH, "headers": [header_is(":method", "POST")]},
        "route": {"cluster": NOWHERE},
        "typed_per_filter_config": {**awake(DISCOVERY), **awake(TRANSCODER)},
    }
    rpc = {
        "match": {"path": surface.keys.path},
        "route": {
            "cluster": surface.keys.workload,
            "timeout": "0s",
            "max_stream_duration": {"max_stream_duration": json_duration(surface.keys.deadline)},
        },
    }
    said = {"header": {"key": "x-correlation-id", "value": CORRELATION}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"name": KEYS, "domains": ["*"], "routes": [rest, asked, rpc], "request_headers_to_add": [said]}
