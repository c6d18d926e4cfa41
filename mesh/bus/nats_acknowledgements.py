"""JetStream's acknowledgements of many messages at once: one subscription, one wait a batch."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg

from mesh.bus.nats_requests import Denial
from mesh.bus.port import NotStored


class Expected:
    """The acknowledgements one batch waits for."""

    def __init__(self, subjects: Sequence[str], prefix: str) -> None:
        self.replies = [f"{prefix}.{index}" for index in range(len(subjects))]
        """The reply subject of each message, in order."""
        self._subjects = subjects
        self._results: list[int | NotStored | None] = [None] * len(subjects)
        self._missing = len(subjects)
        self._complete = asyncio.Event()
        if not subjects:
            self._complete.set()

    def settle(self, index: int, result: int | NotStored) -> None:
        """Notes what became of one message."""
        if self._results[index] is None:
            self._results[index] = result
            self._missing -= 1
            if not self._missing:
                self._complete.set()

    def deny(self, denial: Denial) -> None:
        """Notes that the broker did not take the messages of a subject."""
        for index, subject in enumerate(self._subjects):
            if denial.concerns(subject):
                self.settle(index, NotStored(f"the broker denies {subject}"))

    def give_up(self) -> None:
        """Ends the wait: what is missing now will not come."""
        self._complete.set()

    async def results(self, seconds: float) -> Sequence[int | NotStored]:
        """What became of each message, after all are known or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._complete.wait()
        except TimeoutError:
            pass  # what is missing is told below, message by message
        return [NotStored("the broker did not answer") if each is None else each for each in self._results]


class Acknowledgements:
    """Routes acknowledgements to the batches that wait for them."""

    def __init__(self) -> None:
        self._prefix = ""
        self._next = 0
        self._batches: dict[int, Expected] = {}

    async def listen(self, client: Client) -> None:
        """Subscribes, once, to all acknowledgements of this connection."""
        self._prefix = client.new_inbox()
        await client.subscribe(f"{self._prefix}.*.*", cb=self._receive)

    @contextmanager
    def expect(self, subjects: Sequence[str]) -> Iterator[Expected]:
        """Expects an acknowledgement for each subject within the `with` block; later ones are ignored."""
        batch, self._next = self._next, self._next + 1
        expected = Expected(subjects, f"{self._prefix}.{batch}")
        self._batches[batch] = expected
        try:
            yield expected
        finally:
            del self._batches[batch]

    def deny(self, denial: Denial) -> None:
        """The broker does not let this workload publish a subject."""
        for expected in self._batches.values():
            expected.deny(denial)

    def give_up(self) -> None:
        """The connection is lost, and the acknowledgements under way with it."""
        for expected in self._batches.values():
            expected.give_up()

    async def _receive(self, message: Msg) -> None:
        batch, index = message.subject.rsplit(".", 2)[1:]
        expected = self._batches.get(int(batch))
        if expected is not None:
            expected.settle(int(index), _result(message))


def _result(message: Msg) -> int | NotStored:
    if not message.data:  # a status without a body: nobody stores this subject
        return NotStored("there is no stream for this subject")
    answer = json.loads(message.data)
    if "error" in answer:
        return NotStored(str(answer["error"].get("description", answer["error"])))
    sequence: int = answer["seq"]
    return sequence
