"""Who reaches whom in a cluster, and by which methods: the call graph of the contract and the few edges around it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.policy import Audience, Policy

EDGE: Final = "edge"
"""The workload through which everybody outside comes."""

PORTAL: Final = "portal"
"""The workload that tells of the whole system: it asks every other one for its health."""

HEALTH: Final = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
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
    and where the portal asks for health. A caller that is allowed but declares no call gets none.
    """
    exposed = frozenset(method.workload for method in policy.methods.values() if method.audience is not Audience.NONE)
    edges: dict[str, set[str]] = {name: {PORTAL} for name in policy.workloads}
    for name in exposed:
        edges[name].add(EDGE)
    for caller, path in _calls(policy):
        if (method := policy.methods.get(path)) is not None:
            edges[method.workload].add(caller)
    if policy.token_keys is not None:
        edges[policy.token_keys.workload] |= policy.token_keys.callers
    edges[PORTAL] = {EDGE}
    return Topology(
        workloads=tuple(sorted(policy.workloads)),
        methods={name: _methods(policy, name) for name in sorted(policy.workloads)},
        edges={name: frozenset(callers - {name}) for name, callers in sorted(edges.items())},
        exposed=exposed,
    )


def _calls(policy: Policy) -> Iterator[tuple[str, str]]:
    for workload in policy.workloads.values():
        yield from ((workload.name, f"/{path}") for path in workload.calls)
    for method in policy.methods.values():
        yield from ((method.workload, f"/{path}") for path in method.calls)


def _methods(policy: Policy, workload: str) -> Mapping[str, tuple[str, ...]]:
    paths: dict[str, list[str]] = {}
    for method in policy.of_workload(workload):
        outside = {EDGE} if method.audience is not Audience.NONE else set()
        for caller in method.callers | outside:
            paths.setdefault(caller, []).append(method.path)
    return {caller: tuple(sorted(paths[caller])) for caller in sorted(paths)}
