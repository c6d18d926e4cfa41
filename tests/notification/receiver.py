"""A receiver of webhooks on loopback: a real HTTP server that answers as a test says, and keeps what it got."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Request:
    """What came."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Its content, by the published library that receivers use. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, dict(self.headers))


@dataclass
class Receiver:
    """Somebody outside who hears of orders."""

    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    """What is answered next, one after the other; then `usual`."""
    usual: bytes = OK
    refused: set[str] = field(default_factory=set)
    """Orders that are answered 422, whatever else is said."""
    silent: bool = False
    """Takes requests and answers nothing."""
    together: int = 0
    """The most requests that were ever open at once."""
    _open: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> Sequence[str]:
        return [request.id for request in self.requests]

    def _answer(self, body: bytes) -> bytes:
        if any(order_id.encode() in body for order_id in self.refused):
            return answer(422)
        return self.answers.pop(0) if self.answers else self.usual

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self.together = max(self.together, self._open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append(Request(line, headers, body))
            if self.silent:
                await reader.read()
            writer.write(self._answer(body))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other end went away
        finally:
            self._open -= 1
            writer.close()


@asynccontextmanager
async def receiving(*, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver, while the block lasts."""
    receiver = Receiver(scheme="https" if tls else "http")
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
        server.close()
        for _ in range(100):  # those who were answered have their last word
            if not receiver._open:
                break
            await asyncio.sleep(0.01)
