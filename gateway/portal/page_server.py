"""uvicorn as a part of a process that has its own signals and its own end."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Self

import uvicorn
from starlette.applications import Starlette

from gateway.portal.page_tls import following_context
from gateway.runtime import Address
from mesh.credentials import Identity

KEEP_ALIVE_SECONDS = 75
"""Longer than the edge keeps an idle connection, so that none is closed in the moment a request is sent on it."""


class PageServer(uvicorn.Server):
    """An HTTP server over mTLS: whoever calls must show a certificate of the mesh."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        self._serving: asyncio.Task[None] | None = None
        self._up = asyncio.Event()

    @classmethod
    async def start(cls, app: Starlette, listen: Address, identity: Identity, *, grace_seconds: float) -> Self:
        """Serve an application, and return when it takes requests.

        Raises:
            OSError: the address is taken.
        """
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        listener = socket.create_server((listen.host, listen.port), family=family)
        context = following_context(identity)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(grace_seconds),
            ssl_context_factory=lambda _config, _default: context,
        )
        server = cls(config, listener)
        server._serving = asyncio.create_task(server.serve([listener]))
        await server._up.wait()
        return server

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    async def stop(self) -> None:
        """Let requests in flight end, then close."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen (uvicorn.Server)."""
        await super().startup(sockets)
        self._up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which has more to end than this server."""
        yield
