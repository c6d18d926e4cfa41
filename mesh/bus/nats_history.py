"""Events that a stream has had for a while, read once by a process for itself: a consumer that nobody shares."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from mesh.bus.nats_requests import ANSWER_SECONDS, Requests, nanoseconds, require_success
from mesh.bus.port import BusUnavailable, Told
from mesh.bus.subjects import stream_of

FORGOTTEN_SECONDS: Final = 10.0
"""After which the broker drops the consumer, when nobody listens to it any more."""


async def read_history(client: Client, requests: Requests, area: str, subject: str, since: datetime) -> Sequence[Told]:
    """The events under one subject that were stored since a moment, oldest first; see Bus."""
    inbox, name = client.new_inbox(), str(uuid4())
    told: list[Told] = []
    news, complete = asyncio.Event(), asyncio.Event()

    async def receive(message: Msg) -> None:
        told.append(Told(message.subject, message.data, message.headers or {}))
        # $JS.ACK....<pending>: how many are still to come.
        if message.reply.endswith(".0"):
            complete.set()
        news.set()

    subscription = await client.subscribe(inbox, cb=receive)
    try:
        made = await requests.api(
            # With one subject at its end the request is for that one only, which is all that this workload may ask for.
            f"CONSUMER.CREATE.{stream_of(area)}.{name}.{subject}",
            {
                "stream_name": stream_of(area),
                "config": {
                    "name": name,
                    "deliver_subject": inbox,
                    "filter_subject": subject,
                    "deliver_policy": "by_start_time",
                    "opt_start_time": since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                    "ack_policy": "none",
                    "inactive_threshold": nanoseconds(FORGOTTEN_SECONDS),
                    "mem_storage": True,
                    "num_replicas": 1,
                },
            },
        )
        require_success(made)
        if made["num_pending"] or told:
            while not complete.is_set():
                news.clear()
                async with asyncio.timeout(ANSWER_SECONDS):
                    await news.wait()
        return told
    except TimeoutError as error:
        raise BusUnavailable("the broker stopped telling what it has") from error
    finally:
        with suppress(nats.errors.Error):
            await subscription.unsubscribe()
