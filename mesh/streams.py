"""Watches: server streams of event, heartbeat and end, resumable by position, that never buffer without bound.

A watch holds no queue. It reads what comes after the position it sent last, writes it, and waits for a wake; a reader
that does not keep up holds only its own write, and is cut off when one write takes too long.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.message import Message
from google.rpc import status_pb2

from mesh.call import current_call
from mesh.data.wakes import Wakes
from mesh.errors import MeshError, ResourceExhausted, Unavailable, to_status
from mesh.wire import timestamp_to_proto
from zoco.mesh.v1.stream_pb2 import Heartbeat, StreamEnd

HEARTBEAT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 2.0
"""How long a change may go unnoticed when its wake was lost."""
WRITE_SECONDS: Final = 10.0
"""How long one write may take before the reader counts as too slow."""
END_RESERVE: Final = 0.5
"""Seconds before the deadline at which a watch ends by itself, so that the last message still gets through."""


@dataclass(frozen=True)
class Step:
    """One message of a watch and the position behind it."""

    message: Message
    """The response with its oneof set; the position is filled in."""
    position: str
    last: bool = False
    """Nothing can come after it: the watch ends with OK."""


LAST_EVENT_ID: Final = "last-event-id"

Read = Callable[[str], Awaitable[Sequence[Step]]]
"""Reads what came after a position, oldest first; an empty one means from the start or from now, as the RPC says."""


def resumed_from(position: str, context: Any) -> str:
    """Where a reader left off: what its Last-Event-ID says (HTML, 9.2.4), else what its request does.

    The header wins, because whoever reconnects by itself repeats the request of the beginning.

    Args:
        position: What the request says; empty if nothing.
        context: The stream's grpc.aio.ServicerContext.
    """
    for key, value in context.invocation_metadata() or ():
        if key == LAST_EVENT_ID and value:
            return str(value)
    return position


async def watch(
    context: Any,
    *,
    response: type[Message],
    position: str,
    read: Read,
    wakes: Wakes,
    keys: Collection[str],
) -> None:
    """Serves a watch until it ends, its time is over, the reader is too slow or the process stops.

    Args:
        context: The stream's grpc.aio.ServicerContext.
        response: The response type: a oneof of event, `heartbeat` and `end`, beside `position`.
        position: Where the reader left off; empty at first.
        read: Reads what came after a position.
        wakes: Where changes are announced.
        keys: Which changes concern this watch.
    """
    loop = asyncio.get_running_loop()
    deadline = current_call().deadline
    ends_at = float("inf") if deadline is None else deadline - END_RESERVE

    async def send(message: Message) -> None:
        setattr(message, "position", position)  # noqa: B010 - every watch response has it, Message does not say so
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await context.write(message)
        except TimeoutError as slow:
            raise ResourceExhausted(
                "SLOW_READER", "the reader did not keep up; resume from its last position"
            ) from slow

    # A reader over REST learns only by the headers that its watch is open, and a quiet one says nothing for 15 seconds.
    await context.send_initial_metadata(())
    with wakes.subscribe(keys) as subscription:
        heartbeat_at = loop.time() + HEARTBEAT_SECONDS
        while loop.time() < ends_at:
            for step in await read(position):
                position = step.position
                await send(step.message)
                heartbeat_at = loop.time() + HEARTBEAT_SECONDS
                if step.last:
                    await send(_end(response, None))
                    return
            if wakes.is_closed:
                await send(_end(response, Unavailable("DRAINING", "the process is stopping; resume elsewhere")))
                return
            if loop.time() >= heartbeat_at:
                await send(response(heartbeat=Heartbeat(time=timestamp_to_proto(datetime.now(UTC)))))
                heartbeat_at = loop.time() + HEARTBEAT_SECONDS
            await subscription.wait(max(0.0, min(POLL_SECONDS, heartbeat_at - loop.time(), ends_at - loop.time())))
        await send(_end(response, None))


def _end(response: type[Message], error: MeshError | None) -> Message:
    status = status_pb2.Status() if error is None else to_status(error, request_id=current_call().request_id)
    return response(end=StreamEnd(status=status))
