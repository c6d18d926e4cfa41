"""Who reaches whom in a cluster, and by which methods: the call graph of the contract and the few edges around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh.decision import EDGE
from mesh.policy import Audience, Policy
from mesh.wellknown import HEALTH_CHECK, HEALTH_WATCH, PORTAL

HEALTH: Final = (HEALTH_CHECK, HEALTH_WATCH)
"""What whoever may call a workload may also ask it (gRPC health checking protocol); shows nothing but its state."""


@dataclass(frozen=True)
class Topology:
    """The connections that a cluster lets through.

    Attributes:
        workloads: the catalog's names, sorted; neither edge nor portal.
        methods: by workload, by caller: the gRPC paths that the contract lets that caller call there.
        edges: by workload, its callers: who opens connections to it, for calls or for health.
        exposed: workloads with at least one RPC that is open to the outside.
    """

    workloads: tuple[str, ...]
    methods: Mapping[str, Mapping[str, tuple[str, ...]]]
    edges: Mapping[str, frozenset[str]]
    exposed: frozenset[str]

    def callees(self, caller: str) -> tuple[str, ...]:
        """The workloads that a caller opens connections to, sorted."""
        return tuple(sorted(name for name, callers in self.edges.items() if caller in callers))


def read_topology(policy: Policy) -> Topology:
    """Derives the connections from the policy.

    A connection exists where a contract says `calls`, where a workload fetches the token keys, where the edge routes,
    and where the portal asks for health. A caller that is allowed but declares no call gets none, and neither does one
    that declares a call it is not allowed.
    """
    exposed = frozenset(method.workload for method in policy.methods.values() if method.audience is not Audience.NONE)
    edges: dict[str, set[str]] = {name: {PORTAL} for name in policy.workloads}
    for name in exposed:
        edges[name].add(EDGE)
    for caller in (*policy.workloads, *policy.clients):
        for path in policy.calls_of(caller) & policy.methods.keys():
            method = policy.methods[path]
            if caller in method.callers:
                edges[method.workload].add(caller)
    edges[PORTAL] = {EDGE}
    return Topology(
        workloads=tuple(sorted(policy.workloads)),
        methods={name: _methods(policy, name) for name in sorted(policy.workloads)},
        edges={name: frozenset(callers - {name}) for name, callers in sorted(edges.items())},
        exposed=exposed,
    )


def _methods(policy: Policy, workload: str) -> Mapping[str, tuple[str, ...]]:
    paths: dict[str, list[str]] = {}
    for method in policy.of_workload(workload):
        outside = {EDGE} if method.audience is not Audience.NONE else set()
        for caller in method.callers | outside:
            paths.setdefault(caller, []).append(method.path)
    return {caller: tuple(sorted(paths[caller])) for caller in sorted(paths)}
