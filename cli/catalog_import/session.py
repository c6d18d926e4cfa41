"""One import from the command line: logs in, imports, shows a person how far it is and what came of it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from cli.catalog_import.currencies import ISO_4217
from cli.catalog_import.importing import IN_FLIGHT, Progress, ignore_rejection, import_catalog
from cli.catalog_import.report import ImportReport, Rejection, RejectionFile
from cli.catalog_import.sending import unreachable
from cli.catalog_import.target import Target
from cli.catalog_import.tokens import AdminLogin
from cli.failures import Failure
from mesh.errors import MeshError

__all__ = ["EXIT_DONE", "EXIT_REJECTED", "EXIT_STOPPED", "IN_FLIGHT", "Request", "run"]

EXIT_DONE = 0
"""Every row is in."""

EXIT_REJECTED = 3
"""Some rows were refused."""

EXIT_STOPPED = 130
"""Interrupted from the keyboard, as shells count it."""

_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        file: the catalog.
        report: where to write the refused rows, if anywhere.
        currency: the shop's currency.
        in_flight: batches on their way at a time.
    """

    file: Path
    report: Path | None
    currency: str
    in_flight: int


def run(request: Request, target: Target, console: Console) -> int:
    """Import and show. Returns the exit code.

    Raises:
        Failure: the file cannot be read, or the shop not be reached.
    """
    if request.currency not in ISO_4217:
        raise Failure(f"{request.currency} is no currency; ZOCO_CURRENCY must be an ISO 4217 code such as EUR.")
    with (
        RejectionFile(request.report) if request.report else nullcontext() as refused,
        _shown_progress(console, request.file) as progress,
    ):
        rejected = refused.write if refused else ignore_rejection
        try:
            result = asyncio.run(_import(request, target, progress, rejected))
        except KeyboardInterrupt:
            console.print("Stopped. What was imported stays, and a second run leaves it as it is.")
            return EXIT_STOPPED
    _show(console, result, request.report)
    return EXIT_REJECTED if result.rejected else EXIT_DONE


async def _import(
    request: Request,
    target: Target,
    progress: Callable[[Progress], None],
    rejected: Callable[[Rejection], None],
) -> ImportReport:
    async with target.channel() as channel:
        login = AdminLogin(channel, email=target.email, password=target.password)
        try:
            await login.token()  # a shop that is not there is told before anything is read
            return await import_catalog(
                request.file,
                channel=channel,
                token_source=login,
                progress=progress,
                rejected=rejected,
                currency=request.currency,
                in_flight=request.in_flight,
            )
        except MeshError as error:
            raise Failure(f"{target.address}: {unreachable(error)}") from None
        finally:
            await login.close()


@contextmanager
def _shown_progress(console: Console, file: Path) -> Iterator[Callable[[Progress], None]]:
    """Give what shows progress: a bar on a terminal, now and then a line elsewhere."""
    if not console.is_terminal:
        yield ProgressLines(console).show
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows, {task.fields[rejected]} rejected"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        yield _on_bar(bar, bar.add_task(file.name, total=None, rows=0, rejected=0))


def _on_bar(bar: Bar, task: TaskID) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        bar.update(
            task,
            total=progress.bytes_total or None,
            completed=progress.bytes_read,
            rows=progress.rows,
            rejected=progress.rejected,
        )

    return show


class ProgressLines:
    """Progress for a log: a line every few seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._next = clock() + _SECONDS_BETWEEN_LINES

    def show(self, progress: Progress) -> None:
        """Print a line, if the last one is long enough ago."""
        if self._clock() >= self._next:
            self._next = self._clock() + _SECONDS_BETWEEN_LINES
            share = f" ({100 * progress.bytes_read // progress.bytes_total} %)" if progress.bytes_total else ""
            self._console.print(f"{progress.rows} rows{share}, {progress.rejected} rejected")


def _show(console: Console, report: ImportReport, path: Path | None) -> None:
    # Cells of a stranger's file are printed as they are, never read as markup.
    for rejection in report.first:
        console.print(f"line {rejection.line}: {_printable(rejection.sentence())}", markup=False, soft_wrap=True)
    if report.rejected > len(report.first):
        where = f"{path} has them all" if path else "--report PATH writes them all"
        console.print(f"... and {report.rejected - len(report.first)} more; {where}.", markup=False, soft_wrap=True)
    if report.reasons:
        table = Table("rows", "reason", box=None, pad_edge=False)
        for reason, count in report.reasons.items():
            table.add_row(str(count), Text(_printable(reason)))
        console.print(table)
    console.print(report.closing_line(), markup=False, soft_wrap=True)


def _printable(text: str) -> str:
    """Return `text` without what would move a terminal's cursor or ring its bell."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
