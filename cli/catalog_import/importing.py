"""The import itself: read, check, send, count, in the order of the file and with bounded memory."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from cli.catalog_import.batches import Batch, batches
from cli.catalog_import.files import CatalogFile, open_catalog
from cli.catalog_import.records import records
from cli.catalog_import.report import ImportReport, Rejection, ShopUnreachable, Tally, UnreadableFile
from cli.catalog_import.rows import RowReader
from cli.catalog_import.sending import PATIENCE_SECONDS, BatchSender
from cli.catalog_import.tokens import TokenSource
from zoco.product.v1.product_service_pb2 import ImportResult

IN_FLIGHT = 3
"""Batches on their way at a time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is.

    Attributes:
        bytes_read: bytes of the file that have been read.
        bytes_total: its size in bytes; 0 where that is not known.
        rows: rows that are settled.
        rejected: how many of them are refused.
    """

    bytes_read: int
    bytes_total: int
    rows: int
    rejected: int


def ignore_progress(_: Progress) -> None:
    """Show nothing."""


def ignore_rejection(_: Rejection) -> None:
    """Keep nothing."""


async def import_catalog(
    path: Path,
    *,
    channel: grpc.aio.Channel,
    token_source: TokenSource,
    progress: Callable[[Progress], None] = ignore_progress,
    rejected: Callable[[Rejection], None] = ignore_rejection,
    currency: str = "EUR",
    in_flight: int = IN_FLIGHT,
    patience_seconds: float = PATIENCE_SECONDS,
) -> ImportReport:
    """Import the catalog file at `path`. Good rows are kept, bad ones refused; a second run changes nothing.

    Args:
        path: CSV or JSON Lines in UTF-8, plain or gzip.
        channel: to the edge.
        token_source: gives the access tokens of an administrator.
        progress: told after each batch.
        rejected: told of every refused row, in the order of the lines.
        currency: the shop's currency, ISO 4217.
        in_flight: how many batches are on their way at a time.
        patience_seconds: how long a batch is tried again while the shop does not answer.

    Raises:
        UnreadableFile: the file cannot be read; what came before the place in question is imported.
        ShopUnreachable: the shop does not answer or refuses; running it again goes on where it was.
    """
    began = time.monotonic()
    sender = BatchSender(channel, token_source, patience_seconds=patience_seconds)
    with open_catalog(path) as file:
        run = _Run(file, sender, progress, rejected)
        source = batches(records(file, path), RowReader(currency))
        try:
            # Reading and checking is work for a thread: the loop stays free to send, to renew the token, to be stopped.
            while (batch := await asyncio.to_thread(next, source, None)) is not None:
                if run.in_flight() >= in_flight:
                    await run.settle_oldest()
                run.start(batch)
            while run.in_flight():
                await run.settle_oldest()
        except UnreadableFile as failure:
            while run.in_flight():
                await run.settle_oldest()
            raise UnreadableFile(f"{failure} {run.so_far()}") from None
        except ShopUnreachable as failure:
            raise ShopUnreachable(f"{failure} {run.so_far()}") from None
        finally:
            await run.abandon()
    return run.tally.close(time.monotonic() - began)


class _Run:
    """The batches on their way, oldest first. They are settled in order, and so is every row in them."""

    def __init__(
        self,
        file: CatalogFile,
        sender: BatchSender,
        progress: Callable[[Progress], None],
        rejected: Callable[[Rejection], None],
    ) -> None:
        self.tally = Tally()
        self._file = file
        self._sender = sender
        self._progress = progress
        self._rejected = rejected
        self._on_their_way: deque[tuple[Batch, asyncio.Task[Sequence[ImportResult]] | None]] = deque()

    def in_flight(self) -> int:
        """Return how many batches are not settled yet."""
        return len(self._on_their_way)

    def start(self, batch: Batch) -> None:
        """Send a batch, if it has anything to send."""
        task = asyncio.create_task(self._sender.send(batch.rows), name="import batch") if batch.rows else None
        self._on_their_way.append((batch, task))

    async def settle_oldest(self) -> None:
        """Wait for the oldest batch and count its rows."""
        batch, task = self._on_their_way[0]
        results = await task if task else ()
        self._on_their_way.popleft()
        refused = self._count(batch, results)
        for rejection in sorted((*batch.rejections, *refused), key=lambda each: each.line):
            self.tally.reject(rejection)
            self._rejected(rejection)
        self._progress(Progress(self._file.position(), self._file.size, self.tally.rows, self.tally.rejected))

    async def abandon(self) -> None:
        """Stop what is on its way still."""
        tasks = [task for _, task in self._on_their_way if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def so_far(self) -> str:
        """Return a sentence on what was settled before a failure."""
        return (
            f"{self.tally.rows} rows were settled before; what they brought stays, and a second run leaves it as it is."
        )

    def _count(self, batch: Batch, results: Sequence[ImportResult]) -> list[Rejection]:
        """Count the outcomes of a batch. Returns the rows that the shop refused."""
        refused = []
        tally = self.tally
        for result, text in zip(results, batch.texts, strict=True):
            match result.outcome:
                case ImportResult.CREATED:
                    tally.created += 1
                case ImportResult.UPDATED:
                    tally.updated += 1
                case ImportResult.UNCHANGED:
                    tally.unchanged += 1
                case _:
                    refused.append(Rejection(result.line, result.field or "row", result.reason, text=text))
        return refused
