"""Messages of a JetStream consumer, asked for in batches, the next batch while the last one is handled."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from mesh.bus.nats_requests import Denial, nanoseconds
from mesh.bus.port import BusUnavailable

EXPIRES_SECONDS: Final = 30.0
"""How long the broker keeps a request open when there is nothing to deliver."""
HEARTBEAT_SECONDS: Final = 5.0
"""How often it then tells that the request still stands."""
SILENCE_SECONDS: Final = 2.5 * HEARTBEAT_SECONDS
"""After how long without a word the request counts as lost."""

_HEARTBEAT: Final = "100"
_ENDED: Final = frozenset({"404", "408"})
"""The request is used up or expired; ask again. Every other status means that the consumer or the server is gone."""


class NatsDelivery:
    """A message of a JetStream consumer; see Delivery."""

    __slots__ = ("_client", "_message")

    def __init__(self, client: Client, message: Msg) -> None:
        self._client = client
        self._message = message

    @property
    def subject(self) -> str:
        """Where it was published."""
        return self._message.subject

    @property
    def payload(self) -> bytes:
        """Its content."""
        return self._message.data

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        return self._message.headers or {}

    @property
    def position(self) -> str:
        """Stream and sequence."""
        # $JS.ACK.[domain.account.]stream.consumer.delivered.stream-sequence...
        tokens = self._message.reply.split(".")
        first = 2 if len(tokens) == 9 else 4
        return f"{tokens[first]}:{tokens[first + 3]}"

    async def in_progress(self) -> None:
        """Asks the broker for more time."""
        await self._settle(b"+WPI")

    async def ack(self) -> None:
        """The message took effect."""
        await self._settle(b"+ACK")

    async def nak(self, delay: float) -> None:
        """The message shall be delivered again, after `delay` seconds."""
        await self._settle(b"-NAK " + json.dumps({"delay": nanoseconds(delay)}).encode() if delay else b"-NAK")

    async def term(self) -> None:
        """The message is given up."""
        await self._settle(b"+TERM")

    async def _settle(self, word: bytes) -> None:
        # A word that does not get through costs a delivery more, and the inbox notices that.
        with suppress(nats.errors.Error):
            await self._client.publish(self._message.reply, word)


class NatsPull:
    """An open consumer; see Pull."""

    def __init__(self, client: Client, subject: str) -> None:
        self._client = client
        self._subject = subject
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._waiting: deque[NatsDelivery] = deque()
        self._news = asyncio.Event()
        self._asked = 0
        self._failure = ""

    def deny(self, denial: Denial) -> None:
        """Ends all fetches if this workload may not ask for them."""
        if denial.concerns(self._subject):
            self.fail(f"the broker denies {self._subject}")

    async def open(self) -> None:
        """Subscribes to what the broker will deliver."""
        self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)

    async def close(self) -> None:
        """Ends the subscription and hands back, for somebody else, what was delivered and not fetched."""
        if self._subscription is not None and self._client.is_connected:
            with suppress(nats.errors.Error):
                await self._subscription.unsubscribe()
        while self._waiting:
            await self._waiting.popleft().nak(0)

    def fail(self, reason: str) -> None:
        """Ends the present fetch and all later ones."""
        self._failure = self._failure or reason
        self._news.set()

    async def fetch(self, limit: int) -> Sequence[NatsDelivery]:
        """The next messages; see Pull."""
        while True:
            if self._failure:
                raise BusUnavailable(self._failure)
            if not self._asked:
                await self._ask(limit)
            if self._waiting:
                return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
            self._news.clear()
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                self.fail("the broker fell silent")

    async def _ask(self, limit: int) -> None:
        request = {
            "batch": limit,
            "expires": nanoseconds(EXPIRES_SECONDS),
            "idle_heartbeat": nanoseconds(HEARTBEAT_SECONDS),
        }
        self._asked = limit
        await self._client.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)

    async def _receive(self, message: Msg) -> None:
        if message.reply.startswith("$JS.ACK."):
            self._asked -= 1
            self._waiting.append(NatsDelivery(self._client, message))
        else:
            status = (message.headers or {}).get("Status", "")
            if status in _ENDED:
                self._asked = 0
            elif status != _HEARTBEAT:
                self.fail(f"{status} {(message.headers or {}).get('Description', '')}".strip())
        self._news.set()
