"""The catalog values: what the chart loops over to run every workload, so that a new service touches no template."""

from mesh.compiler.kubernetes.manifests import EDGE_PORTS, GRPC_PORT, METRICS_PORT, PAGE_PORT, Manifest
from mesh.compiler.kubernetes.topology import Topology
from mesh.decision import EDGE
from mesh.policy import Policy
from mesh.wellknown import PORTAL


def catalog(policy: Policy, topology: Topology) -> Manifest:
    """Gives the values of the chart that come from the contract."""
    return {
        "catalog": {
            "workloads": {name: _workload(policy, topology, name) for name in topology.workloads},
            EDGE: {"ports": EDGE_PORTS, "calls": list(topology.callees(EDGE))},
            PORTAL: {
                "ports": {"grpc": GRPC_PORT, "page": PAGE_PORT, "metrics": METRICS_PORT},
                "callers": sorted(topology.edges[PORTAL]),
                "calls": list(topology.callees(PORTAL)),
            },
        }
    }


def _workload(policy: Policy, topology: Topology, name: str) -> Manifest:
    unary = [method.deadline for method in policy.of_workload(name) if not method.server_streaming]
    return {
        "services": list(policy.workloads[name].services),
        "ports": {"grpc": GRPC_PORT, "metrics": METRICS_PORT},
        "exposed": name in topology.exposed,
        "callers": sorted(topology.edges[name]),
        "calls": list(topology.callees(name)),
        # Every workload of the catalog has both (mesh/service.py).
        "database": True,
        "broker": True,
        # A pod that stops lets its calls end: the longest one, streams aside, which are told to come back.
        "longestCallSeconds": max((deadline.total_seconds() for deadline in unary), default=0),
    }
