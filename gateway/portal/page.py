"""The portal's HTTP pages."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.portal.assets import ASSETS, OPENAPI, etag
from gateway.portal.system import State, System
from mesh.wellknown import HEALTH_PAGE

Endpoint = Callable[[Request], Awaitable[Response]]


def page(system: System, document: bytes) -> Starlette:
    """Give the application.

    Args:
        system: asked for its health.
        document: OpenAPI, as JSON.

    Raises:
        OSError: a page, or a part of one, cannot be read.
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

    files = {path: _file(asset.content, asset.media_type) for path, asset in ASSETS.items()}
    files[OPENAPI] = _file(document, "application/json")
    return Starlette(
        routes=[
            Route(HEALTH_PAGE, healthz, methods=["GET"]),
            *(Route(path, endpoint, methods=["GET"]) for path, endpoint in files.items()),
        ]
    )


def _file(content: bytes, media_type: str) -> Endpoint:
    """Give what serves a file: asked for every time, and sent again only where it is another one (RFC 9110, 13.1.2)."""
    headers = {"etag": etag(content), "cache-control": "no-cache"}

    async def serve(request: Request) -> Response:
        known = request.headers.get("if-none-match", "").split(",")
        if headers["etag"] in map(str.strip, known):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return serve
