"""Publishing to JetStream: each message acknowledged, many as one atomic batch where the broker knows such."""

import json
from collections.abc import Sequence
from typing import Final

import nats.errors
from nats.aio.client import Client

from mesh.bus.nats_acknowledgements import Acknowledgements
from mesh.bus.nats_requests import ANSWER_SECONDS, Denial, Denied, Requests
from mesh.bus.port import BusUnavailable, NotStored, Publication
from mesh.bus.subjects import literal
from mesh.ids import uuid7

SYNC_SECONDS: Final = 0.01
"""What each message of many adds to the time the broker may take, on a slow disk."""
MESSAGE_ID: Final = "Nats-Msg-Id"

ATOMIC_FROM: Final = 32
ATOMIC_TO: Final = 1000
"""Between these many messages go out as one atomic batch: synced to disk once, not once each. Fewer are faster alone,
more are not allowed."""


class Publisher:
    """Publishes over one connection."""

    def __init__(self, client: Client, requests: Requests) -> None:
        self._client = client
        self._requests = requests
        self._acknowledgements = Acknowledgements()
        self._batches = True

    async def open(self) -> None:
        """Begins to listen to acknowledgements."""
        await self._acknowledgements.listen(self._client)

    def reopened(self) -> None:
        """The connection was made anew, perhaps to a newer broker."""
        self._batches = True

    def give_up(self) -> None:
        """The connection is lost, and the acknowledgements under way with it."""
        self._acknowledgements.give_up()

    def deny(self, denial: Denial) -> None:
        """The broker has not taken what this workload may not publish."""
        if denial.operation == "publish":
            self._acknowledgements.deny(denial)

    async def publish(self, publications: Sequence[Publication]) -> Sequence[int | NotStored]:
        """Publishes messages in their order and waits until the broker has each on its disk; see Bus."""
        for each in publications:
            literal(each.subject)
        try:
            if ATOMIC_FROM <= len(publications) <= ATOMIC_TO and self._batches:
                stored = await self._publish_as_one(publications)
                if stored is not None:
                    return stored
            return await self._publish_each(publications)
        except nats.errors.Error as error:
            raise BusUnavailable(f"publishing failed: {error!r}") from error

    async def _publish_each(self, publications: Sequence[Publication]) -> Sequence[int | NotStored]:
        with self._acknowledgements.expect([each.subject for each in publications]) as expected:
            for each, reply in zip(publications, expected.replies, strict=True):
                headers = {**each.headers, MESSAGE_ID: each.id}
                await self._client.publish(each.subject, each.payload, reply=reply, headers=headers)
            return await expected.results(ANSWER_SECONDS + len(publications) * SYNC_SECONDS)

    async def _publish_as_one(self, publications: Sequence[Publication]) -> Sequence[int | NotStored] | None:
        """Publishes an atomic batch (ADR-50): stored and synced as a whole, which is many times faster.

        Returns:
            As `publish`; None where the broker did not store it as one, because it knows some of the messages already,
            denies some, or does not know batches at all. Then each goes out for itself.
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
                answer = await self._requests.ask(each.subject, each.payload, headers)
            except (Denied, nats.errors.NoRespondersError):
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
