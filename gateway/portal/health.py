"""grpc.health.v1 of the portal: for neighbours its own, for who comes through the edge that of the whole system."""

from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

from gateway.portal.system import State, System
from mesh.certificates import spiffe_id
from mesh.decision import EDGE
from mesh.health import NOT_SERVING, SERVING, Health
from mesh.policy import Policy
from mesh.wellknown import PORTAL

OWN: Final = PORTAL
"""The name under which the portal's own health is always found; Envoy's health check asks for it."""

_EDGE: Final = spiffe_id(EDGE).encode()


class PortalHealth(Health):
    """The health service.

    A supervisor that asks for the server as a whole (``""``) wants to know about this process. Somebody outside, who
    has only the edge, means the shop; the edge's certificate tells the two apart.

    Args:
        system: asked for the health of the others.
        policy: which workload serves which service.
    """

    def __init__(self, system: System, policy: Policy) -> None:
        super().__init__((OWN,), {})
        self._system = system
        self._workload_of = {
            service: workload.name for workload in policy.workloads.values() for service in workload.services
        }

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802 - named by the contract
        """The status of the whole, of a service by its full name, or of this process (grpc.health.v1.Health/Check)."""
        from_outside = _EDGE in context.auth_context().get("peer_spiffe_id", ())
        if request.service == OWN or (not request.service and not from_outside):
            return await super().Check(request, context)
        health = await self._system.health()
        if not request.service:
            return _response(health.state)
        found = health.of(self._workload_of.get(request.service, ""))
        if found is not None:
            return _response(found.state)
        await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        raise AssertionError("abort raises")


def _response(state: State) -> health_pb2.HealthCheckResponse:
    return health_pb2.HealthCheckResponse(status=NOT_SERVING if state is State.NOT_SERVING else SERVING)
