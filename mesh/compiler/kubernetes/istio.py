"""Istio resources: the contract's callers as authorization by identity and gRPC path, mTLS everywhere, tuning as data.

For `mesh.mode: istio`, where Istio's proxies do what our own sidecars do otherwise. Istio writes identities as
`<trust domain>/ns/<namespace>/sa/<service account>`; each workload has a service account of its name.
"""

from collections.abc import Sequence
from typing import Final

from mesh.compiler.kubernetes.manifests import (
    EDGE_PORTS,
    GRPC_PORT,
    NAMESPACE,
    PAGE_PORT,
    Manifest,
    labels,
    manifest,
)
from mesh.compiler.kubernetes.topology import HEALTH, Topology
from mesh.decision import EDGE
from mesh.settings import TRUST_DOMAIN
from mesh.tuning import Tuning
from mesh.wellknown import PORTAL
from mesh.wire import json_duration

_SECURITY: Final = "security.istio.io/v1"
_NETWORKING: Final = "networking.istio.io/v1"


def peer_authentications() -> list[Manifest]:
    """Gives who must show a certificate: everybody, except at the edge's public ports."""
    public = {str(port): {"mode": "DISABLE"} for port in EDGE_PORTS.values()}
    return [
        manifest(_SECURITY, "PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}),
        manifest(
            _SECURITY,
            "PeerAuthentication",
            EDGE,
            {"selector": {"matchLabels": labels(EDGE)}, "mtls": {"mode": "STRICT"}, "portLevelMtls": public},
        ),
    ]


def authorization_policies(topology: Topology) -> list[Manifest]:
    """Gives who may call what: nothing by default, then one rule a caller, with that caller's methods."""
    return [
        # A policy without rules allows nothing, and there being one denies whatever no other allows.
        manifest(_SECURITY, "AuthorizationPolicy", "default-deny", {}),
        *(_allow(name, _rules(topology, name)) for name in topology.workloads),
        _allow(EDGE, [{"to": [{"operation": {"ports": [str(port) for port in EDGE_PORTS.values()]}}]}]),
        _allow(PORTAL, [_rule([EDGE], HEALTH), _page()]),
    ]


def destination_rules(topology: Topology, tuning: Tuning) -> list[Manifest]:
    """Gives how callers treat each workload: mTLS, connection pool, ejection of processes that only fail."""
    breakers, ejection = tuning.breakers, tuning.ejection
    policy = {
        "tls": {"mode": "ISTIO_MUTUAL"},
        "loadBalancer": {"simple": "ROUND_ROBIN"},
        "connectionPool": {
            "tcp": {"maxConnections": breakers.max_connections},
            "http": {
                "http1MaxPendingRequests": breakers.max_pending_requests,
                "http2MaxRequests": breakers.max_requests,
                "maxRetries": breakers.max_retries,
            },
        },
        # Istio has no longest ejection: it grows with each one, up to Envoy's own limit.
        "outlierDetection": {
            "consecutiveGatewayErrors": ejection.consecutive_gateway_failure,
            # Else Istio ejects after five of any 5xx as well, and INTERNAL is an answer of a process that lives.
            "consecutive5xxErrors": 0,
            "interval": json_duration(ejection.interval),
            "baseEjectionTime": json_duration(ejection.base_time),
            "maxEjectionPercent": ejection.max_percent,
        },
    }
    return [
        manifest(_NETWORKING, "DestinationRule", name, {"host": _host(name), "trafficPolicy": policy})
        for name in (*topology.workloads, PORTAL)
    ]


def virtual_services(topology: Topology) -> list[Manifest]:
    """Gives routes that repeat nothing: by default Istio does, and whoever calls repeats what the contract allows."""
    return [
        manifest(
            _NETWORKING,
            "VirtualService",
            name,
            {
                "hosts": [_host(name)],
                "http": [{"route": [{"destination": {"host": _host(name)}}], "retries": {"attempts": 0}}],
            },
        )
        for name in (*topology.workloads, PORTAL)
    ]


def principal(workload: str) -> str:
    """Gives the identity by which Istio knows a workload."""
    return f"{TRUST_DOMAIN}/ns/{NAMESPACE}/sa/{workload}"


def _rules(topology: Topology, workload: str) -> list[Manifest]:
    calls = [_rule([caller], paths) for caller, paths in topology.methods[workload].items()]
    return [*calls, _rule(sorted({*topology.edges[workload], *topology.methods[workload]}), HEALTH)]


def _rule(callers: Sequence[str], paths: Sequence[str]) -> Manifest:
    return {
        "from": [{"source": {"principals": [principal(caller) for caller in callers]}}],
        "to": [{"operation": {"methods": ["POST"], "paths": list(paths), "ports": [str(GRPC_PORT)]}}],
    }


def _page() -> Manifest:
    return {
        "from": [{"source": {"principals": [principal(EDGE)]}}],
        "to": [{"operation": {"methods": ["GET", "HEAD"], "ports": [str(PAGE_PORT)]}}],
    }


def _allow(workload: str, rules: list[Manifest]) -> Manifest:
    spec = {"selector": {"matchLabels": labels(workload)}, "action": "ALLOW", "rules": rules}
    return manifest(_SECURITY, "AuthorizationPolicy", workload, spec)


def _host(workload: str) -> str:
    return f"{workload}.{NAMESPACE}.svc.cluster.local"
