"""A gRPC channel that follows its identity's files: new calls use the new certificate, those in flight end in peace.

gRPC has no client credentials that can be read again. So there is a channel of gRPC's underneath for each identity, a
generation, and stubs reach whichever is current at each call.
"""

import asyncio
import contextvars
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import grpc

from mesh.background import end
from mesh.credentials import CONNECTION_GRACE_SECONDS, Identity, Material
from mesh.logs import logger

LOOK_SECONDS: Final = 1.0
"""How often the files are looked at: so soon after a change new calls have the new identity."""

_READY_SECONDS: Final = 2.0
"""How long new calls stay with the old generation while the new one connects."""

FOLLOWED_SECONDS: Final = 5.0
"""After so long every client has followed: a look, a connection, and two seconds for a process that is busy."""

_CALLS_SECONDS: Final = 0.2
_LATE_SECONDS: Final = CONNECTION_GRACE_SECONDS

_Kind = Literal["unary_unary", "unary_stream", "stream_unary", "stream_stream"]

OnTrouble = Callable[[Identity], Awaitable[None]]
"""Called while the channel cannot connect."""

_log = logger("credentials")


class _Generation:
    """A channel with one identity, and the calls on it."""

    def __init__(self, channel: grpc.aio.Channel, material: Material) -> None:
        self.channel = channel
        self.material = material
        self._calls: weakref.WeakSet[Any] = weakref.WeakSet()

    def track(self, call: Any) -> None:
        self._calls.add(call)

    def idle(self) -> bool:
        return all(call.done() for call in list(self._calls))


class RenewedChannel(grpc.aio.Channel):
    """A secure channel with the identity of a directory, as it is at each moment.

    Args:
        target: gRPC's name of whom to call.
        directory: With cert.pem, key.pem and ca.pem.
        who: The SPIFFE id it must have; any if None.
        options: Of the channel.
        interceptors: Of the channel.
        on_trouble: Called about once a second while the channel is in TRANSIENT_FAILURE.

    Raises:
        BadCredentials: The directory cannot be used now.
    """

    def __init__(
        self,
        target: str,
        directory: Path,
        *,
        who: str | None = None,
        options: Sequence[tuple[str, Any]] = (),
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        on_trouble: OnTrouble | None = None,
    ) -> None:
        self._target = target
        self._identity = Identity(directory, who)
        self._options = tuple(options)
        self._interceptors = list(interceptors)
        self._on_trouble = on_trouble
        self._current = self._open()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def unary_unary(self, *method: Any, **more: Any) -> Any:
        """A callable for this kind of method (grpc.aio.Channel)."""
        return _Callable(self, "unary_unary", method, more)

    def unary_stream(self, *method: Any, **more: Any) -> Any:
        """A callable for this kind of method (grpc.aio.Channel)."""
        return _Callable(self, "unary_stream", method, more)

    def stream_unary(self, *method: Any, **more: Any) -> Any:
        """A callable for this kind of method (grpc.aio.Channel)."""
        return _Callable(self, "stream_unary", method, more)

    def stream_stream(self, *method: Any, **more: Any) -> Any:
        """A callable for this kind of method (grpc.aio.Channel)."""
        return _Callable(self, "stream_stream", method, more)

    @property
    def current(self) -> _Generation:
        """What a call that begins now belongs to. The first one to ask starts the looking for changes."""
        if not self._tasks and not self._closed:
            if self._identity.renewed():  # since it was opened nobody has looked
                self._spawn(_retire(self._current), "retire identity")
                self._current = self._open()
            self._spawn(self._follow(), "follow identity")
        return self._current

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the present generation (grpc.aio.Channel)."""
        return self.current.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the present generation's state is another (grpc.aio.Channel)."""
        await self.current.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the present generation is connected (grpc.aio.Channel)."""
        await self.current.channel.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Closes every generation; calls in flight may take `grace` seconds more (grpc.aio.Channel)."""
        self._closed = True
        await end(self._tasks)
        await self._current.channel.close(grace)

    async def __aenter__(self) -> Self:
        """Gives itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        await self.close()

    def _open(self) -> _Generation:
        material = self._identity.material
        channel = grpc.aio.secure_channel(
            self._target,
            material.channel_credentials(),
            options=self._options,
            interceptors=self._interceptors,
        )
        return _Generation(channel, material)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if self._identity.renewed():
                    await self._renew()
                if self._on_trouble and self._current.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    await self._on_trouble(self._identity)
            except Exception:  # noqa: BLE001 - whatever it is, it must not end the following
                _log.exception("a channel does not follow its identity", target=self._target)

    async def _renew(self) -> None:
        new, old = self._open(), self._current
        if old.channel.get_state() is grpc.ChannelConnectivity.READY:
            # No call pays for the handshake.
            try:
                async with asyncio.timeout(_READY_SECONDS):
                    await new.channel.channel_ready()
            except TimeoutError:
                _log.warning("the new identity does not connect yet", target=self._target)
        self._current = new
        self._spawn(_retire(old), "retire identity")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        # Of no call: it outlives the one that happens to be the first.
        task = asyncio.create_task(work, name=name, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _retire(old: _Generation) -> None:
    """Closes a generation when its last call has ended, at the latest when no call may live any more.

    Not by `close(grace)`: that refuses at once what a call of an interceptor has still to begin.
    """
    try:
        async with asyncio.timeout(_LATE_SECONDS):
            while not old.idle():  # noqa: ASYNC110 - calls of all kinds, with and without interceptors: asked, not told
                await asyncio.sleep(_CALLS_SECONDS)
    except TimeoutError:
        _log.warning("calls of an old identity are cut off", after_seconds=_LATE_SECONDS)
    finally:
        await old.channel.close()


class _Callable(
    grpc.aio.UnaryUnaryMultiCallable[Any, Any],
    grpc.aio.UnaryStreamMultiCallable[Any, Any],
    grpc.aio.StreamUnaryMultiCallable[Any, Any],
    grpc.aio.StreamStreamMultiCallable[Any, Any],
):
    """A method of a stub: calls it on whichever generation is current."""

    def __init__(self, channel: RenewedChannel, kind: _Kind, method: tuple[Any, ...], more: dict[str, Any]) -> None:
        self._channel = channel
        self._kind = kind
        self._method = method
        self._more = more
        self._generation: _Generation | None = None
        self._callable: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Begins a call."""
        generation = self._channel.current
        if generation is not self._generation or self._callable is None:
            self._callable = getattr(generation.channel, self._kind)(*self._method, **self._more)
            self._generation = generation
        call = self._callable(*arguments, **options)
        generation.track(call)
        return call
