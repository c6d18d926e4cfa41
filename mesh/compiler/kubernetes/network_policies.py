"""NetworkPolicies: the connections of the call graph and nothing else.

Each connection is said twice, as egress of the caller and as ingress of the callee, because both ends are denied by
default. What leaves the cluster (mail, webhooks, a card provider, a trace collector) is no part of the contract: an
installation adds it beside these, and policies add up.
"""

from collections.abc import Mapping
from typing import Final

from mesh.compiler.kubernetes.manifests import (
    DNS_PORT,
    EDGE_PORTS,
    GRPC_PORT,
    METRICS_PORT,
    NAME,
    NAMESPACE,
    NATS_PORT,
    PAGE_PORT,
    PART_OF,
    POSTGRES_PORT,
    Manifest,
    labels,
    manifest,
)
from mesh.compiler.kubernetes.topology import Topology
from mesh.decision import EDGE
from mesh.wellknown import PORTAL

MONITORING: Final = "monitoring"
"""The namespace from which metrics are scraped."""

DATABASE: Final = {"cnpg.io/cluster": NAMESPACE}
"""What the pods of the database carry (CloudNativePG)."""

BROKER: Final = {NAME: "nats"}
"""What the pods of the broker carry (its own chart)."""

_API: Final = "networking.k8s.io/v1"
_OURS: Final = {"matchLabels": {PART_OF: NAMESPACE}}
_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"


def network_policies(topology: Topology) -> list[Manifest]:
    """Gives every policy: deny all, DNS, metrics, then one a workload."""
    return [
        _policy("default-deny", _OURS, ingress=[], egress=[]),
        _policy("dns", _OURS, egress=[{"to": [_dns()], "ports": [_port(DNS_PORT, "UDP"), _port(DNS_PORT)]}]),
        _policy("metrics", _scraped(), ingress=[{"from": [_in_namespace(MONITORING)], "ports": [_port(METRICS_PORT)]}]),
        *(_of_workload(topology, name) for name in topology.workloads),
        _of_edge(topology),
        _of_portal(topology),
    ]


def _of_workload(topology: Topology, name: str) -> Manifest:
    return _policy(
        name,
        {"matchLabels": labels(name)},
        ingress=[_from(caller) for caller in sorted(topology.edges[name])],
        egress=[
            *(_to(labels(callee)) for callee in topology.callees(name)),
            # Every workload of the catalog has a database and tells or hears events (mesh/service.py).
            _to(DATABASE, POSTGRES_PORT),
            _to(BROKER, NATS_PORT),
        ],
    )


def _of_edge(topology: Topology) -> Manifest:
    return _policy(
        EDGE,
        {"matchLabels": labels(EDGE)},
        ingress=[{"ports": [_port(port) for port in EDGE_PORTS.values()]}],
        egress=[
            *(_to(labels(callee)) for callee in topology.callees(EDGE) if callee != PORTAL),
            _to(labels(PORTAL), GRPC_PORT, PAGE_PORT),
        ],
    )


def _of_portal(topology: Topology) -> Manifest:
    return _policy(
        PORTAL,
        {"matchLabels": labels(PORTAL)},
        ingress=[_from(caller, GRPC_PORT, PAGE_PORT) for caller in sorted(topology.edges[PORTAL])],
        egress=[_to(labels(callee)) for callee in topology.callees(PORTAL)],
    )


def _policy(
    name: str, pods: Manifest, *, ingress: list[Manifest] | None = None, egress: list[Manifest] | None = None
) -> Manifest:
    directions = {"Ingress": ingress, "Egress": egress}
    spec: Manifest = {
        "podSelector": pods,
        "policyTypes": [way for way, rules in directions.items() if rules is not None],
    }
    # An empty list would say the same as its absence; what is denied is said by policyTypes.
    spec |= {way.lower(): rules for way, rules in directions.items() if rules}
    return manifest(_API, "NetworkPolicy", name, spec)


def _from(caller: str, *ports: int) -> Manifest:
    return {"from": [_pods(labels(caller))], "ports": [_port(port) for port in ports or (GRPC_PORT,)]}


def _to(pods: Mapping[str, str], *ports: int) -> Manifest:
    return {"to": [_pods(pods)], "ports": [_port(port) for port in ports or (GRPC_PORT,)]}


def _pods(carrying: Mapping[str, str]) -> Manifest:
    return {"podSelector": {"matchLabels": dict(carrying)}}


def _scraped() -> Manifest:
    # The edge has no such port: its own figures stay on its loopback.
    return {**_OURS, "matchExpressions": [{"key": NAME, "operator": "NotIn", "values": [EDGE]}]}


def _in_namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: name}}}


def _dns() -> Manifest:
    return {**_in_namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}


def _port(port: int, protocol: str = "TCP") -> Manifest:
    return {"protocol": protocol, "port": port}
