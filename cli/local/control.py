"""The supervisor's ear: one JSON line in, one JSON line out, over a Unix socket that only its owner can open."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.failures import NotRunning

_LONGEST_LINE = 1024 * 1024
_TIMEOUT = 10.0

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class ControlServer:
    """Answers requests until closed."""

    def __init__(self, path: Path, answer: Answer) -> None:
        """Serve at `path` what `answer` returns for a request."""
        self._path = path
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start to listen; a socket file that a dead process left is replaced."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=_LONGEST_LINE)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening and remove the socket file."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            request = json.loads(await reader.readline())
            writer.write(json.dumps(self._answer(request)).encode() + b"\n")
            await writer.drain()
        writer.close()


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Return the supervisor's answer.

    Raises:
        NotRunning: nobody answers at `path`.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answer:
                line = answer.readline(_LONGEST_LINE)
        content: dict[str, Any] = json.loads(line)
        return content
    except (OSError, ValueError):
        raise NotRunning("Nothing runs here; `make up` starts it.") from None
