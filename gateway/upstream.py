"""What every cluster of an Envoy here is made of: members, HTTP/2, health checks, ejection, limits, retries."""

from collections.abc import Sequence
from typing import Final

from gateway.runtime import Address
from gateway.xds import Message, socket_address, typed
from mesh.tuning import Tuning
from mesh.wire import json_duration

_CONNECT_SECONDS: Final = 1.0
_HEALTH_SECONDS: Final = 1.0

# Nothing reached the process, so nothing can happen twice.
UNTOUCHED: Final = ("connect-failure", "refused-stream", "reset-before-request")
"""Failures after which Envoy may try another process whatever the method."""

HTTP2: Final[Message] = {
    "max_concurrent_streams": 1024,
    "initial_stream_window_size": 65536,
    "initial_connection_window_size": 1048576,
    # Finds a peer that vanished without a word (a frozen process, a cut cable) within seconds.
    "connection_keepalive": {"interval": "10s", "timeout": "3s"},
}
"""Of a connection between two processes of the mesh."""


def members(name: str, hosts: Sequence[str]) -> Message:
    """Give a cluster's name and where its processes are, as `host:port`."""
    addresses = [Address.parse(host) for host in hosts]
    return {
        "name": name,
        "type": "STATIC" if all(address.numeric for address in addresses) else "STRICT_DNS",
        "connect_timeout": json_duration(_CONNECT_SECONDS),
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket_address(address)}} for address in addresses]}
            ],
        },
    }


def protocol(**fields: Message) -> Message:
    """Give a cluster's `typed_extension_protocol_options`."""
    # Named by its message, not by a filter, which is why this is no `extension`.
    message = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {message: typed(message, **fields)}


def grpc_protocol() -> Message:
    """Give the same for gRPC: HTTP/2."""
    return protocol(explicit_http_config={"http2_protocol_options": HTTP2})


def grpc_health_check(service: str = "") -> Message:
    """Give an active health check (grpc.health.v1), of a service or of the whole process."""
    return {
        "timeout": json_duration(_HEALTH_SECONDS),
        "interval": json_duration(_HEALTH_SECONDS),
        # By default a cluster that nobody calls is asked once a minute: a restarted service would be found that late.
        "no_traffic_interval": json_duration(_HEALTH_SECONDS),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "grpc_health_check": {"service_name": service} if service else {},
    }


def failover(tuning: Tuning, *, budget: bool = False) -> Message:
    """Give what keeps a cluster usable while some of its processes are not: ejection, limits, no panic.

    Args:
        tuning: the numbers.
        budget: whether the retries at once are a share of the calls under way, instead of a number.
    """
    breakers, ejection, retry = tuning.breakers, tuning.ejection, tuning.retry
    limits: Message = {
        "max_connections": breakers.max_connections,
        "max_pending_requests": breakers.max_pending_requests,
        "max_requests": breakers.max_requests,
    }
    if budget:
        percent = {"value": float(retry.budget_percent)}
        limits["retry_budget"] = {"budget_percent": percent, "min_retry_concurrency": retry.min_concurrency}
    else:
        limits["max_retries"] = breakers.max_retries
    return {
        "common_lb_config": {
            # By default Envoy calls dead processes too once half of them are dead. A quick, clear 503 is better.
            "healthy_panic_threshold": {"value": 0},
        },
        "close_connections_on_host_health_failure": True,
        "outlier_detection": {
            # A process that takes connections but only fails is left alone for a while; never the last one.
            "consecutive_gateway_failure": ejection.consecutive_gateway_failure,
            # By default Envoy counts these and ejects nobody for them.
            "enforcing_consecutive_gateway_failure": 100,
            "consecutive_5xx": 1000,
            "interval": json_duration(ejection.interval),
            "base_ejection_time": json_duration(ejection.base_time),
            "max_ejection_time": json_duration(ejection.max_time),
            "max_ejection_percent": ejection.max_percent,
        },
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **limits}]},
    }


def retry_policy(tuning: Tuning, causes: Sequence[str], *, repeats: int) -> Message:
    """Give a route's retry policy.

    Args:
        tuning: how repeats are spaced. Envoy doubles the pause each time, whatever the multiplier.
        causes: Envoy's names for what is repeated.
        repeats: how often at most, the first attempt not counted.
    """
    return {
        "retry_on": ",".join(causes),
        "num_retries": repeats,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
            }
        ],
        "host_selection_retry_max_attempts": 3,
        "retry_back_off": {
            "base_interval": json_duration(tuning.retry.initial_backoff),
            "max_interval": json_duration(tuning.retry.max_backoff),
        },
    }
