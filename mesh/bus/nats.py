"""The broker behind the port: NATS with JetStream."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from mesh.bus.nats_acknowledgements import Acknowledgements
from mesh.bus.nats_pull import NatsPull
from mesh.bus.port import BusUnavailable, NotStored, Publication, StreamState
from mesh.ids import uuid7
from mesh.logs import logger

API: Final = "$JS.API"
ANSWER_SECONDS: Final = 5.0
"""How long the broker may take to answer."""
SYNC_SECONDS: Final = 0.01
"""What each message of many adds to that, on a slow disk."""
BUFFER_BYTES: Final = 8 * 2**20
"""What is written at most before the connection must take it."""
MESSAGE_ID: Final = "Nats-Msg-Id"

ATOMIC_FROM: Final = 32
ATOMIC_TO: Final = 1000
"""Between these many messages go out as one atomic batch: synced to disk once, not once each. Fewer are faster alone,
more are not allowed."""

NAME_IN_USE: Final = 10058
"""JetStream's error code for a stream that exists with another configuration."""


class NatsBus:
    """A connection to NATS that is made in the background and made again for as long as the process lives.

    Args:
        url: `nats://host:port`, several separated by commas.
        name: Under which the broker shows the connection.
        replicas: On how many of the broker's nodes a stream is stored.
        max_age: How long events stay in their stream; the outboxes have them for longer.
        duplicate_window: How long the broker remembers the id of a message it has stored.
        ack_wait: After how long a message that was neither settled nor in progress is delivered again.
        credentials: A NATS credentials file.
        tls: For a broker that asks for TLS.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        replicas: int = 1,
        max_age: timedelta = timedelta(days=14),
        duplicate_window: timedelta = timedelta(minutes=2),
        ack_wait: timedelta = timedelta(seconds=15),
        credentials: Path | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._servers = url.split(",")
        self._name = name
        self._replicas = replicas
        self._max_age = max_age
        self._duplicate_window = duplicate_window
        self._ack_wait = ack_wait
        self._credentials = credentials
        self._tls = tls
        self._client = Client()
        self._connections = 0
        self._connecting: asyncio.Task[None] | None = None
        self._acknowledgements = Acknowledgements()
        self._batches = True
        self._pulls: set[NatsPull] = set()
        self._listeners: list[tuple[str, Callable[[bytes], Awaitable[None]]]] = []
        self._log = logger("bus")

    async def start(self) -> None:
        """Begins to connect and returns at once; `connected` tells when it is done."""
        self._connecting = asyncio.create_task(self._connect(), name="connect to the broker")

    async def close(self) -> None:
        """Writes out what is buffered and ends the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._client.is_connected:
            with suppress(nats.errors.Error, TimeoutError):
                await self._client.flush(timeout=1)
        if self._connections or self._client.is_connected:  # the client cannot close what it never opened
            await self._client.close()

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable now."""
        return self._client.is_connected

    @property
    def connections(self) -> int:
        """How often a connection was made so far."""
        return self._connections

    async def ensure_stream(self, area: str) -> StreamState:
        """Makes the stream of an area's events if there is none; see Bus."""
        config = {
            "name": _stream(area),
            "subjects": [f"zoco.{area}.v1.>"],
            "storage": "file",
            "retention": "limits",
            "max_age": _nanoseconds(self._max_age),
            # When the disk is full the newest event is refused and stays in its outbox. The default would drop the
            # oldest in silence, whether or not everybody had it.
            "discard": "new",
            "duplicate_window": _nanoseconds(self._duplicate_window),
            "num_replicas": self._replicas,
            "allow_atomic": True,
        }
        made = await self._request(f"STREAM.CREATE.{_stream(area)}", config)
        if made.get("error", {}).get("err_code") == NAME_IN_USE:
            made = await self._request(f"STREAM.UPDATE.{_stream(area)}", config)
        _require_success(made)
        return StreamState(_stream(area), made["created"], made["state"]["last_seq"])

    async def publish(self, publications: Sequence[Publication]) -> Sequence[int | NotStored]:
        """Publishes messages in their order and waits until the broker has each on its disk; see Bus."""
        if not self.connected:
            raise BusUnavailable("not connected to the broker")
        try:
            if ATOMIC_FROM <= len(publications) <= ATOMIC_TO and self._batches:
                stored = await self._publish_as_one(publications)
                if stored is not None:
                    return stored
            return await self._publish_each(publications)
        except nats.errors.Error as error:
            raise BusUnavailable(f"publishing failed: {error!r}") from error

    @asynccontextmanager
    async def pull(self, area: str, consumer: str, subjects: Sequence[str]) -> AsyncIterator[NatsPull]:
        """Opens a durable consumer of an area's events; see Bus."""
        await self.ensure_stream(area)
        stream = _stream(area)
        config = {
            "durable_name": consumer,
            "name": consumer,
            "filter_subjects": sorted(subjects),
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": _nanoseconds(self._ack_wait),
            # The consumer gives up on a message, with a reason; the broker would only stop to deliver it.
            "max_deliver": -1,
            "max_ack_pending": 5000,
        }
        _require_success(
            await self._request(f"CONSUMER.CREATE.{stream}.{consumer}", {"stream_name": stream, "config": config})
        )
        pull = NatsPull(self._client, f"{API}.CONSUMER.MSG.NEXT.{stream}.{consumer}")
        try:
            await pull.open()
            self._pulls.add(pull)
            yield pull
        except nats.errors.Error as error:
            raise BusUnavailable(f"the broker does not answer: {error!r}") from error
        finally:
            self._pulls.discard(pull)
            await pull.close()

    async def notify(self, subject: str, payload: bytes) -> None:
        """Tells all who listen now; see Bus."""
        if self.connected:
            with suppress(nats.errors.Error):
                await self._client.publish(subject, payload)

    async def listen(self, subject: str, callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Calls back with each payload that is told under a subject; see Bus."""
        self._listeners.append((subject, callback))
        if self.connected:
            await self._subscribe(subject, callback)

    async def _publish_each(self, publications: Sequence[Publication]) -> Sequence[int | NotStored]:
        with self._acknowledgements.expect(len(publications)) as expected:
            for each, reply in zip(publications, expected.subjects, strict=True):
                headers = {**each.headers, MESSAGE_ID: each.id}
                await self._client.publish(each.subject, each.payload, reply=reply, headers=headers)
            return await expected.results(ANSWER_SECONDS + len(publications) * SYNC_SECONDS)

    async def _publish_as_one(self, publications: Sequence[Publication]) -> Sequence[int | NotStored] | None:
        """Publishes an atomic batch (ADR-50): stored and synced as a whole, which is many times faster.

        Returns:
            As `publish`; None where the broker did not store it as one, because it knows some of the messages already
            or does not know batches at all. Then each goes out for itself.
        """
        batch, last = uuid7(), len(publications)
        for position, each in enumerate(publications, 1):
            headers = {
                **each.headers,
                MESSAGE_ID: each.id,
                "Nats-Batch-Id": batch,
                "Nats-Batch-Sequence": str(position),
            }
            if position < last:
                await self._client.publish(each.subject, each.payload, headers=headers)
                continue
            headers["Nats-Batch-Commit"] = "1"
            try:
                answer = await self._client.request(each.subject, each.payload, timeout=ANSWER_SECONDS, headers=headers)
            except nats.errors.NoRespondersError:
                return None
            except nats.errors.TimeoutError:
                return [NotStored("the broker did not answer")] * last
            acknowledgement = json.loads(answer.data)
            if "error" in acknowledgement:
                return None
            if acknowledgement.get("batch") != batch:
                self._batches = False  # an older broker, which took each for itself and told of the last only
                return None
            end: int = acknowledgement["seq"]
            return range(end - last + 1, end + 1)
        return []

    async def _connect(self) -> None:
        await self._client.connect(
            servers=self._servers,
            name=self._name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,  # type: ignore[arg-type] # seconds, annotated as int, used as float
            connect_timeout=2,
            # A broker that hangs is given up after three unanswered pings.
            ping_interval=4,
            max_outstanding_pings=2,
            pending_size=BUFFER_BYTES,
            tls=self._tls,
            user_credentials=self._credentials,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
        )
        # From here on the client itself reconnects and subscribes again.
        await self._acknowledgements.listen(self._client)
        for subject, callback in self._listeners:
            await self._subscribe(subject, callback)
        self._connections += 1
        self._log.info("connected to the broker")

    async def _subscribe(self, subject: str, callback: Callable[[bytes], Awaitable[None]]) -> None:
        async def receive(message: Msg) -> None:
            await callback(message.data)

        await self._client.subscribe(subject, cb=receive)

    async def _on_reconnected(self) -> None:
        self._connections += 1
        self._batches = True
        self._log.info("connected to the broker again")
        self._fail_pulls("the connection was made anew")

    async def _on_disconnected(self) -> None:
        if not self._client.is_closed:
            self._log.warning("connection to the broker lost")
        self._acknowledgements.give_up()
        self._fail_pulls("the connection was lost")

    async def _on_error(self, error: Exception) -> None:
        self._log.info("broker", error=repr(error))

    def _fail_pulls(self, reason: str) -> None:
        for pull in self._pulls:
            pull.fail(reason)

    async def _request(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        if not self.connected:
            raise BusUnavailable("not connected to the broker")
        try:
            answer = await self._client.request(f"{API}.{subject}", json.dumps(body).encode(), timeout=ANSWER_SECONDS)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"the broker does not answer: {error!r}") from error
        parsed: dict[str, Any] = json.loads(answer.data)
        return parsed


def _require_success(answer: dict[str, Any]) -> None:
    if "error" in answer:
        raise BusUnavailable(f"the broker refuses: {answer['error'].get('description', answer['error'])}")


def _stream(area: str) -> str:
    return f"zoco-{area}"


def _nanoseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1_000_000_000)
