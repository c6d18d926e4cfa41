"""HTTP/1.1 without a client library: a request goes out byte for byte as a case says, and nothing repeats it."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import BufferedReader, BytesIO
from typing import Any, Final

from tests.conformance.patterns import MISSING

PATIENCE: Final = 25.0
"""Seconds that a silent edge is waited for: longer than the heartbeat of a watch."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    """0 if nothing that is HTTP came back."""
    headers: Mapping[str, str]
    """By lower-case name; of a repeated one all values, joined by commas."""
    raw: bytes
    events: tuple[Any, ...] = ()
    """Server-sent events, each the JSON of its data; what is not one is a text that says so."""
    ended: bool = False
    """Whether a stream ended by itself."""

    @property
    def json(self) -> Any:
        """The body as JSON; MISSING if it is none."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return MISSING

    def in_short(self) -> str:
        """Its status and the beginning of what it says, for a line."""
        told = repr(list(self.events)) if self.events else self.raw.decode(errors="backslashreplace")
        return f"{self.status} {told[:300]}{'...' if len(told) > 300 else ''}"

    def __str__(self) -> str:
        if self.events:
            return f"{self.status}, events {list(self.events)!r}"
        text = self.raw[:1500].decode(errors="backslashreplace")
        return f"{self.status} {dict(self.headers)!r}\n{text}"


class Exchange:
    """A request that was sent, and the answer that is read as it comes."""

    def __init__(self, address: tuple[str, int], sent: bytes, *, method: str) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        # Who refuses a body early need not read the rest of it.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(sent)
        # What the library does not look for after a HEAD is what a HEAD must not have.
        self._bodiless = method == "HEAD"
        self._response = HTTPResponse(self._socket, method=method)

    def answer(self) -> Answer:
        """All of the answer."""
        with closing(self._socket):
            try:
                if self._bodiless:
                    return self._bare()
                self._response.begin()
                raw = self._response.read()
            except (HTTPException, OSError) as error:
                return _no_answer(error)
            return Answer(self._response.status, self._headers(), raw)

    def _bare(self) -> Answer:
        """An answer that must have no body: if it has one, these are its bytes."""
        received = b""
        with suppress(TimeoutError):
            while piece := self._socket.recv(65536):
                received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        self._response.fp = BufferedReader(BytesIO(head + b"\r\n\r\n"))
        self._response.begin()
        return Answer(self._response.status, self._headers(), rest)

    def stream(self, count: int, *, to_its_end: bool) -> Iterator[Answer]:
        """Reads events one by one: yields what is there after each, and at last all, with whether the stream ended.

        Args:
            count: How many events are waited for.
            to_its_end: Whether to wait for the end of the stream after them.
        """
        with closing(self._socket):
            try:
                self._response.begin()
            except (HTTPException, OSError) as error:
                yield _no_answer(error)
                return
            headers = self._headers()
            if self._response.status != 200:
                yield Answer(self._response.status, headers, self._response.read())
                return
            events: tuple[Any, ...] = ()
            ended = False
            with suppress(TimeoutError):
                while len(events) < count or to_its_end:
                    event = self._event()
                    if event is None:
                        ended = True
                        break
                    events = (*events, event)
                    yield Answer(200, headers, b"", events)
            yield Answer(200, headers, b"", events, ended)

    def _event(self) -> Any:
        """The next event, as HTML (9.2.6) says that it is read; None at the end."""
        data: list[str] = []
        others: dict[str, str] = {}
        while line := self._response.readline():
            text = line.decode().rstrip("\r\n")
            if not text:
                if not data:
                    continue
                try:
                    parsed = json.loads("\n".join(data))
                except ValueError:
                    return f"data is not JSON: {data!r}"
                return {**parsed, **{f"sse:{name}": value for name, value in others.items()}}
            name, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name:
                others[name] = value
        return None

    def _headers(self) -> Mapping[str, str]:
        joined: dict[str, str] = {}
        for name, value in self._response.getheaders():
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        return joined


def _no_answer(error: Exception) -> Answer:
    return Answer(0, {}, f"{type(error).__name__}: {error}".encode())
