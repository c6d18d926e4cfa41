"""The outbound listener: where the service calls its neighbours. What the call graph does not have is refused."""

from collections.abc import Iterator
from typing import Final

from gateway.identity import downstream_tls, upstream_tls
from gateway.rpc import rpc_route
from gateway.sidecar.connection import listener
from gateway.sidecar.refusals import outbound_replies
from gateway.sidecar.runtime import SidecarRuntime
from gateway.upstream import UNTOUCHED, failover, grpc_health_check, grpc_protocol, members, retry_policy
from gateway.xds import Message
from mesh.certificates import spiffe_id
from mesh.policy import MethodPolicy, Policy
from mesh.sidecar import SERVICE, inner_id
from mesh.tuning import Tuning

# To gRPC a connection that broke under a call is UNAVAILABLE too.
_CAUSES: Final = {
    "CANCELLED": ("cancelled",),
    "DEADLINE_EXCEEDED": ("deadline-exceeded",),
    "INTERNAL": ("internal",),
    "RESOURCE_EXHAUSTED": ("resource-exhausted",),
    "UNAVAILABLE": ("unavailable", "reset"),
}
"""Envoy's names for the codes it can repeat."""

_UNTOUCHED_REPEATS: Final = 2


class UnrepeatableCode(ValueError):
    """A contract repeats a code that Envoy cannot. Names the RPC."""


def outbound(runtime: SidecarRuntime, policy: Policy, tuning: Tuning) -> Message:
    """Give the listener, which only the own service's certificate opens.

    Args:
        runtime: of this sidecar.
        policy: the whole contract.
        tuning: how repeats are spaced.

    Raises:
        UnrepeatableCode: a contract repeats a code that Envoy cannot.
    """
    return listener(
        runtime.workload,
        "outbound",
        runtime.outbound,
        downstream_tls(runtime.inner, accepted={"exact": inner_id(runtime.workload, SERVICE)}),
        routes=[
            *(_route(method, tuning) for method in called(policy, runtime.workload)),
            {"name": "not-in-the-call-graph", "match": {"prefix": "/"}, "direct_response": {"status": 403}},
        ],
        filters=[],
        replies=outbound_replies(runtime),
        tells_caller=False,
    )


def called(policy: Policy, workload: str) -> Iterator[MethodPolicy]:
    """Give the methods of others that a workload calls, by path."""
    return (policy.methods[path] for path in sorted(policy.calls_of(workload)) if path in policy.methods)


def neighbours(policy: Policy, workload: str) -> list[str]:
    """Give the workloads that a workload calls, in the order of their names."""
    return sorted({method.workload for method in called(policy, workload)})


def neighbour_clusters(runtime: SidecarRuntime, policy: Policy, tuning: Tuning) -> Iterator[Message]:
    """Give a cluster for each workload that is called."""
    for name in neighbours(policy, runtime.workload):
        yield {
            **members(name, runtime.neighbours[name]),
            "typed_extension_protocol_options": grpc_protocol(),
            "transport_socket": upstream_tls(runtime.mesh, spiffe_id=spiffe_id(name), sni=name, alpn="h2"),
            "health_checks": [grpc_health_check()],
            **failover(tuning, budget=True),
        }


def _route(method: MethodPolicy, tuning: Tuning) -> Message:
    route = rpc_route(method.path, method.workload, method.deadline)
    if method.retry is None:
        policy = retry_policy(tuning, UNTOUCHED, repeats=_UNTOUCHED_REPEATS)
    else:
        if unknown := set(method.retry.codes) - _CAUSES.keys():
            raise UnrepeatableCode(f"{method.path}: Envoy cannot repeat {min(unknown)}; take it out of retry.codes.")
        causes = [cause for code in method.retry.codes for cause in _CAUSES[code]]
        policy = retry_policy(tuning, (*UNTOUCHED, *causes), repeats=method.retry.max_attempts - 1)
    route["route"]["retry_policy"] = policy
    return route
