"""The broker behind the port: NATS with JetStream."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from mesh.bus.nats_history import read_history
from mesh.bus.nats_publish import Publisher
from mesh.bus.nats_pull import NatsPull
from mesh.bus.nats_requests import NAME_IN_USE, Requests, denial_in, nanoseconds, require_success
from mesh.bus.port import BusUnavailable, NotStored, Publication, StreamState, Told
from mesh.bus.subjects import API, consumer_creation, events_of, inbox_of, literal, stream_of
from mesh.logs import logger

BUFFER_BYTES: Final = 8 * 2**20
"""What is written at most before the connection must take it."""


class NatsBus:
    """A connection to NATS that is made in the background and made again for as long as the process lives.

    Args:
        url: `nats://host:port`, several separated by commas.
        name: The workload: under it the broker shows the connection, and answers come to an inbox of its name.
        replicas: On how many of the broker's nodes a stream is stored.
        max_age: How long events stay in their stream; the outboxes have them for longer.
        duplicate_window: How long the broker remembers the id of a message it has stored.
        ack_wait: After how long a message that was neither settled nor in progress is delivered again.
        credentials: A NATS credentials file.
        tls: For a broker that asks for TLS.

    Raises:
        BadSubject: The name cannot be a part of a subject.
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
        self._inbox = inbox_of(name)
        self._replicas = replicas
        self._max_age = max_age
        self._duplicate_window = duplicate_window
        self._ack_wait = ack_wait
        self._credentials = credentials
        self._tls = tls
        self._client = Client()
        self._connections = 0
        self._connecting: asyncio.Task[None] | None = None
        self._requests = Requests(self._client)
        self._publisher = Publisher(self._client, self._requests)
        self._pulls: set[NatsPull] = set()
        self._listeners: list[tuple[str, Callable[[Msg], Awaitable[None]]]] = []
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
        stream = stream_of(area)
        config = {
            "name": stream,
            "subjects": [events_of(area)],
            "storage": "file",
            "retention": "limits",
            "max_age": nanoseconds(self._max_age.total_seconds()),
            # When the disk is full the newest event is refused and stays in its outbox. The default would drop the
            # oldest in silence, whether or not everybody had it.
            "discard": "new",
            "duplicate_window": nanoseconds(self._duplicate_window.total_seconds()),
            "num_replicas": self._replicas,
            "allow_atomic": True,
        }
        made = await self._requests.api(f"STREAM.CREATE.{stream}", config)
        if made.get("error", {}).get("err_code") == NAME_IN_USE:
            made = await self._requests.api(f"STREAM.UPDATE.{stream}", config)
        require_success(made)
        return StreamState(stream, made["created"], made["state"]["last_seq"])

    async def publish(self, publications: Sequence[Publication]) -> Sequence[int | NotStored]:
        """Publishes messages in their order and waits until the broker has each on its disk; see Bus."""
        if not self.connected:
            raise BusUnavailable("not connected to the broker")
        return await self._publisher.publish(publications)

    @asynccontextmanager
    async def pull(self, area: str, consumer: str, subjects: Sequence[str]) -> AsyncIterator[NatsPull]:
        """Opens a durable consumer of an area's events; see Bus."""
        stream, wanted = stream_of(area), tuple(sorted(subjects))
        config = {
            "durable_name": consumer,
            "name": consumer,
            **({"filter_subject": wanted[0]} if len(wanted) == 1 else {"filter_subjects": wanted}),
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": nanoseconds(self._ack_wait.total_seconds()),
            # The consumer gives up on a message, with a reason; the broker would only stop to deliver it.
            "max_deliver": -1,
            "max_ack_pending": 5000,
        }
        asked = consumer_creation(area, consumer, wanted).removeprefix(f"{API}.")
        require_success(await self._requests.api(asked, {"stream_name": stream, "config": config}))
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

    async def history(self, area: str, subject: str, since: datetime) -> Sequence[Told]:
        """The events under one subject that the stream of an area has had since a moment; see Bus."""
        if not self.connected:
            raise BusUnavailable("not connected to the broker")
        try:
            return await read_history(self._client, self._requests, area, literal(subject), since)
        except nats.errors.Error as error:
            raise BusUnavailable(f"the broker does not answer: {error!r}") from error

    async def notify(self, subject: str, payload: bytes) -> None:
        """Tells all who listen now; see Bus."""
        if self.connected:
            with suppress(nats.errors.Error):
                await self._client.publish(literal(subject), payload)

    async def listen(self, subject: str, callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Calls back with each payload that is told under a subject; see Bus."""

        async def receive(message: Msg) -> None:
            await callback(message.data)

        await self._listen(subject, receive)

    async def overhear(self, subject: str, callback: Callable[[Told], Awaitable[None]]) -> None:
        """Calls back with each event that is published under a subject; see Bus."""

        async def receive(message: Msg) -> None:
            await callback(Told(message.subject, message.data, message.headers or {}))

        await self._listen(subject, receive)

    async def _listen(self, subject: str, receive: Callable[[Msg], Awaitable[None]]) -> None:
        self._listeners.append((literal(subject), receive))
        if self._connections:  # else `_connect` will
            await self._client.subscribe(subject, cb=receive)

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
            inbox_prefix=self._inbox,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
        )
        # From here on the client itself reconnects and subscribes again.
        await self._publisher.open()
        for subject, receive in self._listeners:
            await self._client.subscribe(subject, cb=receive)
        self._connections += 1
        self._log.info("connected to the broker")

    async def _on_reconnected(self) -> None:
        self._connections += 1
        self._publisher.reopened()
        self._log.info("connected to the broker again")
        self._fail_pulls("the connection was made anew")

    async def _on_disconnected(self) -> None:
        if not self._client.is_closed:
            self._log.warning("connection to the broker lost")
        self._publisher.give_up()
        self._fail_pulls("the connection was lost")

    async def _on_error(self, error: Exception) -> None:
        denial = denial_in(error)
        if denial is None:
            self._log.info("broker", error=repr(error))
            return
        # What was denied would otherwise only never be answered.
        self._log.error(
            "the broker denies this workload a subject",
            workload=self._name,
            operation=denial.operation,
            subject=denial.subject,
        )
        self._requests.deny(denial)
        self._publisher.deny(denial)
        for pull in self._pulls:
            pull.deny(denial)

    def _fail_pulls(self, reason: str) -> None:
        for pull in self._pulls:
            pull.fail(reason)
