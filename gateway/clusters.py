"""Where the edge sends calls: one Envoy cluster a workload, over mTLS, watched by health checks."""

from collections.abc import Sequence
from typing import Final

from gateway.runtime import PORTAL, Address, EdgeRuntime
from gateway.xds import Message, extension, seconds, socket_address

PAGE: Final = "portal-page"
"""The cluster of the portal's HTTP server."""

COLLECTOR: Final = "trace-collector"
"""The cluster of the OTLP collector."""

NOWHERE: Final = "nowhere"
"""A cluster without members, for routes that no request leaves by."""

_CONNECT_SECONDS: Final = 1.0
_HEALTH_SECONDS: Final = 1.0


def clusters(runtime: EdgeRuntime) -> list[Message]:
    """Give every cluster, by name."""
    grpc = [_grpc(runtime, workload, hosts) for workload, hosts in sorted(runtime.workloads.items())]
    return [*grpc, _page(runtime), _collector(runtime.trace_collector), _members(NOWHERE, ())]


def _grpc(runtime: EdgeRuntime, workload: str, hosts: Sequence[str]) -> Message:
    return {
        **_members(workload, hosts),
        "typed_extension_protocol_options": _protocol(
            explicit_http_config={
                "http2_protocol_options": {
                    "max_concurrent_streams": 1024,
                    "initial_stream_window_size": 65536,
                    "initial_connection_window_size": 1048576,
                    # Finds a peer that vanished without a word (a frozen process, a cut cable) within seconds.
                    "connection_keepalive": {"interval": "10s", "timeout": "3s"},
                }
            }
        ),
        "transport_socket": _mutual_tls(runtime, workload, alpn="h2"),
        "health_checks": [_health_check(workload)],
        **_failover(),
    }


def _page(runtime: EdgeRuntime) -> Message:
    return {
        **_members(PAGE, runtime.page),
        "typed_extension_protocol_options": _protocol(
            explicit_http_config={"http_protocol_options": {}},
            # Shorter than the portal keeps an idle connection, so that none is closed while a request is on its way.
            common_http_protocol_options={"idle_timeout": "30s"},
        ),
        "transport_socket": _mutual_tls(runtime, PORTAL, alpn="http/1.1"),
        **_failover(),
    }


def _collector(address: str | None) -> Message:
    # The tracer insists on an exporter. Without a collector this cluster is empty, and spans end there at once.
    return {
        **_members(COLLECTOR, (address,) if address else ()),
        "typed_extension_protocol_options": _protocol(explicit_http_config={"http2_protocol_options": {}}),
    }


def _members(name: str, hosts: Sequence[str]) -> Message:
    addresses = [Address.parse(host) for host in hosts]
    return {
        "name": name,
        "type": "STATIC" if all(address.numeric for address in addresses) else "STRICT_DNS",
        "connect_timeout": seconds(_CONNECT_SECONDS),
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket_address(address)}} for address in addresses]}
            ],
        },
    }


def _protocol(**fields: Message) -> Message:
    # Named by its message, not by a filter, which is why this is no `extension`.
    message = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {message: {"@type": f"type.googleapis.com/{message}", **fields}}


def _mutual_tls(runtime: EdgeRuntime, workload: str, *, alpn: str) -> Message:
    identity = {"exact": runtime.spiffe_id(workload)}
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        sni=workload,
        common_tls_context={
            "alpn_protocols": [alpn],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": runtime.files.certificate},
                    "private_key": {"filename": runtime.files.key},
                }
            ],
            "validation_context": {
                "trusted_ca": {"filename": runtime.files.authority},
                # Any workload's certificate chains to the same authority: only the SPIFFE id says who answers.
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": identity}],
            },
        },
    )


def _health_check(workload: str) -> Message:
    # Asked by the edge for everything, the portal would answer for the whole system (gateway.portal.health).
    asked = {"service_name": PORTAL} if workload == PORTAL else {}
    return {
        "timeout": seconds(_HEALTH_SECONDS),
        "interval": seconds(_HEALTH_SECONDS),
        # By default a cluster that nobody calls is asked once a minute: a restarted service would be found that late.
        "no_traffic_interval": seconds(_HEALTH_SECONDS),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "grpc_health_check": asked,
    }


def _failover() -> Message:
    limits = {"max_connections": 1024, "max_pending_requests": 1024, "max_requests": 4096, "max_retries": 64}
    return {
        "common_lb_config": {
            # By default Envoy calls dead processes too once half of them are dead. A quick, clear 503 is better.
            "healthy_panic_threshold": {"value": 0},
        },
        "close_connections_on_host_health_failure": True,
        "outlier_detection": {
            # A process that takes connections but only fails is left alone for a while; never the last one.
            "consecutive_gateway_failure": 5,
            "consecutive_5xx": 1000,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_time": "30s",
            "max_ejection_percent": 50,
        },
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **limits}]},
    }
