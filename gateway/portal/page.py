"""The portal's HTTP pages."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.portal.system import State, System
from mesh.wellknown import HEALTH_PAGE


def page(system: System) -> Starlette:
    """Give the application.

    Args:
        system: asked for its health.
    """

    async def healthz(_: Request) -> JSONResponse:
        health = await system.health()
        body = {
            "status": health.state.value,
            "services": [
                {
                    "service": service.service,
                    "state": service.state.value,
                    "reason": service.reason,
                    "version": service.version,
                    "uptimeSeconds": service.uptime_seconds,
                }
                for service in health.services
            ],
        }
        status = 503 if health.state is State.NOT_SERVING else 200
        return JSONResponse(body, status_code=status, headers={"cache-control": "no-store"})

    return Starlette(routes=[Route(HEALTH_PAGE, healthz, methods=["GET"])])
