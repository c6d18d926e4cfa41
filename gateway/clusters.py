"""Where the edge sends calls: one Envoy cluster a workload, over mTLS, watched by health checks."""

from collections.abc import Sequence
from typing import Final

from gateway.identity import upstream_tls
from gateway.runtime import EdgeRuntime
from gateway.upstream import failover, grpc_health_check, grpc_protocol, members, protocol
from gateway.xds import Message
from mesh.certificates import spiffe_id
from mesh.tuning import Tuning
from mesh.wellknown import PORTAL

PAGE: Final = "portal-page"
"""The cluster of the portal's HTTP server."""

COLLECTOR: Final = "trace-collector"
"""The cluster of the OTLP collector."""

NOWHERE: Final = "nowhere"
"""A cluster without members, for routes that no request leaves by."""


def clusters(runtime: EdgeRuntime, tuning: Tuning) -> list[Message]:
    """Give every cluster that calls somebody, by name."""
    grpc = [_grpc(runtime, tuning, workload, hosts) for workload, hosts in sorted(runtime.workloads.items())]
    return [*grpc, _page(runtime, tuning), _collector(runtime.trace_collector), members(NOWHERE, ())]


def _grpc(runtime: EdgeRuntime, tuning: Tuning, workload: str, hosts: Sequence[str]) -> Message:
    # Asked by the edge for everything, the portal would answer for the whole system (gateway.portal.health).
    asked = PORTAL if workload == PORTAL else ""
    return {
        **members(workload, hosts),
        "typed_extension_protocol_options": grpc_protocol(),
        "transport_socket": _mutual_tls(runtime, workload, alpn="h2"),
        "health_checks": [grpc_health_check(asked)],
        **failover(tuning),
    }


def _page(runtime: EdgeRuntime, tuning: Tuning) -> Message:
    return {
        **members(PAGE, runtime.page),
        "typed_extension_protocol_options": protocol(
            explicit_http_config={"http_protocol_options": {}},
            # Shorter than the portal keeps an idle connection, so that none is closed while a request is on its way.
            common_http_protocol_options={"idle_timeout": "30s"},
        ),
        "transport_socket": _mutual_tls(runtime, PORTAL, alpn="http/1.1"),
        **failover(tuning),
    }


def _collector(address: str | None) -> Message:
    # The tracer insists on an exporter. Without a collector this cluster is empty, and spans end there at once.
    return {
        **members(COLLECTOR, (address,) if address else ()),
        "typed_extension_protocol_options": protocol(explicit_http_config={"http2_protocol_options": {}}),
    }


def _mutual_tls(runtime: EdgeRuntime, workload: str, *, alpn: str) -> Message:
    return upstream_tls(runtime.files.identity, spiffe_id=spiffe_id(workload), sni=workload, alpn=alpn)
