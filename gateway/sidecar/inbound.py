"""The inbound listener: the workload's public port. Who may call which RPC is the contract's list, and nothing else."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from gateway.identity import downstream_tls, upstream_tls
from gateway.rpc import rpc_route
from gateway.sidecar.connection import listener
from gateway.sidecar.refusals import inbound_replies
from gateway.sidecar.runtime import SidecarRuntime
from gateway.upstream import failover, grpc_protocol, members
from gateway.xds import Message, extension
from mesh.certificates import spiffe_id
from mesh.decision import EDGE
from mesh.policy import Audience, MethodPolicy, Policy
from mesh.server import operator_methods
from mesh.sidecar import SERVICE, inner_id
from mesh.tuning import Tuning
from mesh.wellknown import HEALTH_CHECK, HEALTH_WATCH

_CHECK_DEADLINE: Final = timedelta(seconds=5)
_WATCH_LIFE: Final = timedelta(hours=1)


def inbound(runtime: SidecarRuntime, policy: Policy) -> Message:
    """Give the listener.

    Args:
        runtime: of this sidecar.
        policy: the whole contract.
    """
    served = {method.path: method for method in policy.of_workload(runtime.workload)} | dict(operator_methods())
    deadlines = {path: method.deadline for path, method in served.items()}
    deadlines |= {HEALTH_CHECK: _CHECK_DEADLINE, HEALTH_WATCH: _WATCH_LIFE}
    callers = {*policy.workloads, *policy.clients, *(name for method in served.values() for name in method.callers)}
    return listener(
        runtime.workload,
        "inbound",
        runtime.public,
        downstream_tls(runtime.mesh, accepted={"prefix": spiffe_id("")}),
        routes=[_route(path, deadline) for path, deadline in sorted(deadlines.items())],
        filters=[_access(served)],
        replies=inbound_replies(deadlines, callers),
        tells_caller=True,
    )


def service_cluster(runtime: SidecarRuntime, tuning: Tuning) -> Message:
    """Give the cluster of the one process behind this sidecar. Its health is asked for by those who call it."""
    address = f"{runtime.service.host}:{runtime.service.port}"
    identity = inner_id(runtime.workload, SERVICE)
    settings = failover(tuning)
    # There is no other process to turn to.
    del settings["outlier_detection"]
    return {
        **members(SERVICE, (address,)),
        "typed_extension_protocol_options": grpc_protocol(),
        "transport_socket": upstream_tls(runtime.inner, spiffe_id=identity, sni=SERVICE, alpn="h2"),
        **settings,
    }


def _route(path: str, deadline: timedelta) -> Message:
    route = rpc_route(path, SERVICE, deadline)
    if path == HEALTH_WATCH:  # says nothing for as long as nothing changes
        route["route"]["idle_timeout"] = "0s"
    return route


def _access(served: Mapping[str, MethodPolicy]) -> Message:
    """Give the RBAC filter: a policy for each RPC, named by its path. What none allows is denied."""
    policies = {path: _policy(path, _principals(method)) for path, method in sorted(served.items())}
    policies = {path: policy for path, policy in policies.items() if policy["principals"]}
    # Whoever got through the handshake is a workload of this mesh, and may ask how we are.
    policies |= {path: _policy(path, [{"any": True}]) for path in (HEALTH_CHECK, HEALTH_WATCH)}
    return extension(
        "envoy.filters.http.rbac",
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        rules={"action": "ALLOW", "policies": policies},
    )


def _principals(method: MethodPolicy) -> list[Message]:
    outside = {EDGE} if method.audience is not Audience.NONE else set()
    names = sorted((method.callers - {EDGE}) | outside)
    return [{"authenticated": {"principal_name": {"exact": spiffe_id(name)}}} for name in names]


def _policy(path: str, principals: list[Message]) -> Message:
    return {"permissions": [{"url_path": {"path": {"exact": path}}}], "principals": principals}
