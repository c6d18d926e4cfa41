"""A TCP proxy between the shop and a server that it stands on: it delays, keeps silent, and tears commits."""

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from tests.fixtures.servers import LOOPBACK

CHUNK: Final = 64 * 1024

COMMIT: Final = b"COMMIT\0"
"""How a statement that commits looks on its way to PostgreSQL, in a Query message as well as in a Parse message
(https://www.postgresql.org/docs/current/protocol-message-formats.html)."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards to one port of this machine, in a thread of its own: whoever starts the shop blocks its own loop.

    Args:
        upstream: The server's port.
        seed: Of what is done by chance.
    """

    def __init__(self, upstream: int, seed: int = 0) -> None:
        self.port = 0
        self.seen: Counter[str] = Counter()
        """What was done so far: `connections`, `delayed`, `reset before`, `reset after`."""
        self._upstream = upstream
        self._chance = random.Random(seed)
        self._delay: tuple[float, float] | None = None
        self._torn = 0.0
        self._next_is_after = False
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Listens, on a port that `port` tells from now on."""
        self._thread.start()
        self._run(self._listen())

    def close(self) -> None:
        """Ends all connections."""
        self._run(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def delay(self, least: float, most: float) -> None:
        """From now on everything takes so many seconds longer, in each direction."""
        self._delay = (least, most)

    def tear_commits(self, share: float) -> None:
        """Resets the connection at this share of all commits, in turn before and after the server has done it."""
        self._torn = share

    def keep_silent(self) -> None:
        """Forwards nothing any more and answers nobody; connections stay, and new ones are taken."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def heal(self) -> None:
        """From now on everything goes through; what was kept back goes first."""
        self._delay, self._torn = None, 0.0
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, LOOPBACK, 0, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)
        self.seen["connections"] += 1
        try:
            await self._flowing.wait()
            upstream = await asyncio.open_connection(LOOPBACK, self._upstream, limit=CHUNK)
        except OSError:
            _reset(writer)
            return
        await _Line(self, (reader, writer), upstream).carry()

    async def pass_on(self) -> None:
        """Returns when a piece may go on, in the order in which pieces of one direction ask."""
        if self._delay is not None:
            self.seen["delayed"] += 1
            await asyncio.sleep(self._chance.uniform(*self._delay))
        await self._flowing.wait()

    def sentence(self) -> str:
        """What becomes of a commit: `before` or `after`, if its connection is reset there; else nothing."""
        if self._chance.random() >= self._torn:
            return ""
        self._next_is_after = not self._next_is_after
        when = "before" if self._next_is_after else "after"
        self.seen[f"reset {when}"] += 1
        return when


class _Line:
    """One connection of a client, and the one to the server that is its other half."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._answer_is_lost = False

    async def carry(self) -> None:
        """Returns when either end has hung up, or the line was torn; nothing of it is left then."""
        ways = [asyncio.create_task(self._ask()), asyncio.create_task(self._answer())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (self._to_client, self._to_server):
                writer.close()

    async def _ask(self) -> None:
        before = b""
        with suppress(OSError):
            while piece := await self._from_client.read(CHUNK):
                await self._proxy.pass_on()
                if COMMIT in before + piece:
                    sentence = self._proxy.sentence()
                    if sentence == "before":
                        self._tear()
                        break
                    self._answer_is_lost = sentence == "after"
                before = (before + piece)[1 - len(COMMIT) :]
                self._to_server.write(piece)
                await self._to_server.drain()

    async def _answer(self) -> None:
        with suppress(OSError):
            while piece := await self._from_server.read(CHUNK):
                if self._answer_is_lost:  # the server has done it, and the client will not hear so
                    self._tear()
                    break
                await self._proxy.pass_on()
                self._to_client.write(piece)
                await self._to_client.drain()

    def _tear(self) -> None:
        _reset(self._to_client)
        self._to_server.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST: whoever waits at its other end learns that it is gone, and nothing else."""
    line: socket.socket = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
