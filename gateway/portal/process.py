"""The portal as a process: a gRPC server and an HTTP server, both over mTLS, with one start and one graceful end."""

import asyncio
import signal
from contextlib import AsyncExitStack
from typing import Final

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from prometheus_client import start_http_server

from gateway.openapi.document import GENERATED as OPENAPI_DOCUMENT
from gateway.portal.health import PortalHealth
from gateway.portal.page import page
from gateway.portal.page_server import PageServer
from gateway.portal.settings import PortalSettings
from gateway.portal.surface import public_surface
from gateway.portal.system import System
from gateway.runtime import Address
from mesh.certificates import spiffe_id
from mesh.credentials import CONNECTION_AGE, BadCredentials, Identity, server_credentials
from mesh.logs import logger
from mesh.metrics import Metrics
from mesh.policy import read_policy
from mesh.reflection import add_reflection
from mesh.wellknown import HEALTH_SERVICE, PORTAL

_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # else two processes share a port in silence
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # else the edge's keep-alive counts as an attack
    *CONNECTION_AGE,
)


class Portal:
    """A portal that serves, until it is stopped.

    Attributes:
        port: of its gRPC server.
        page_port: of its HTTP server.
    """

    def __init__(
        self, settings: PortalSettings, health: PortalHealth, pages: PageServer, port: int, stack: AsyncExitStack
    ) -> None:
        self.port = port
        self.page_port = pages.port
        self._settings = settings
        self._health = health
        self._stack = stack

    async def stop(self) -> None:
        """Report NOT_SERVING, wait for the edge to notice, let calls end, close."""
        await self._health.drain()
        await asyncio.sleep(self._settings.drain_seconds)
        await self._stack.aclose()


async def start(settings: PortalSettings) -> Portal:
    """Start a portal, and return when it serves.

    Raises:
        OSError: one of its addresses is taken, or the descriptor set, the document beside it or a page cannot be read.
        BadCredentials: its certificate is not its own, or cannot be used now.
    """
    descriptors = FileDescriptorSet.FromString(settings.descriptors.read_bytes())
    policy = read_policy(descriptors)
    async with AsyncExitStack() as started:
        system = System(tuple(policy.workloads), settings.peers, settings.pki_dir)
        started.push_async_callback(system.close)
        health = PortalHealth(system, policy)
        server = grpc.aio.server(options=_OPTIONS)
        add_HealthServicer_to_server(health, server)
        if settings.env == "dev":
            surface = public_surface(descriptors)
            add_reflection(server, (*surface.services, HEALTH_SERVICE), surface.pool)
        try:
            port = server.add_secure_port(settings.listen, server_credentials(settings.pki_dir, spiffe_id(PORTAL)))
        except RuntimeError as refused:
            raise OSError(f"cannot listen on {settings.listen}: {refused}") from refused
        started.push_async_callback(server.stop, settings.grace_seconds)
        pages = await PageServer.start(
            page(system, (settings.descriptors.parent / OPENAPI_DOCUMENT).read_bytes()),
            Address.parse(settings.page_listen),
            Identity(settings.pki_dir, spiffe_id(PORTAL)),
            grace_seconds=settings.grace_seconds,
        )
        started.push_async_callback(pages.stop)
        await server.start()
        await health.probe()
        system.connect()
        return Portal(settings, health, pages, port, started.pop_all())


async def serve(settings: PortalSettings) -> int:
    """Run a portal until SIGTERM or SIGINT.

    Returns:
        The exit code: 1 if it cannot start.
    """
    log = logger("process")
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    metrics_at = Address.parse(settings.metrics_listen)
    try:
        metrics, _ = start_http_server(metrics_at.port, metrics_at.host, registry=Metrics().registry)
        portal = await start(settings)
    except (OSError, BadCredentials) as refused:
        log.critical("cannot start", reason=str(refused))
        return 1
    log.info("serving", address=settings.listen, page=settings.page_listen, metrics=settings.metrics_listen)
    await stopping.wait()
    log.info("draining")
    await portal.stop()
    metrics.shutdown()
    log.info("stopped")
    return 0
