"""`zoco import`: what a person sees of an import, and its exit code."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from cli.catalog_import.importing import IN_FLIGHT, Progress, ignore_rejection, import_catalog
from cli.catalog_import.report import ImportReport, Rejection, RejectionFile
from cli.catalog_import.sending import unreachable
from cli.catalog_import.target import Target, find_target
from cli.catalog_import.tokens import AdminLogin
from cli.failures import Failure
from cli.local.home import Home
from cli.local.settings import read_settings
from mesh.errors import MeshError

EXIT_STOPPED = 130
"""Interrupted from the keyboard, as shells count it."""

EXIT_REJECTED = 3
"""Some rows were refused."""

_SECONDS_BETWEEN_LINES = 5.0


def import_command(
    file: Annotated[Path, typer.Argument(help="CSV or JSON Lines, in UTF-8, plain or gzip.", metavar="FILE")],
    report: Annotated[
        Path | None, typer.Option("--report", help="Write every refused row with its reason to this CSV file.")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Another shop than the one that runs here: https://shop.example.")
    ] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="PEM certificates to trust instead of the system's.")] = None,
    currency: Annotated[str, typer.Option(envvar="ZOCO_CURRENCY", help="The shop's currency.")] = "EUR",
    in_flight: Annotated[int, typer.Option(min=1, max=16, help="Batches on their way at a time.")] = IN_FLIGHT,
) -> None:
    """Load a catalog into the shop. Exit code 0: every row is in; 3: some are refused; 1: it was not possible."""
    settings = read_settings()
    target = find_target(settings, Home(settings.home), address, ca)
    console = Console(highlight=False)
    with RejectionFile(report) if report else nullcontext() as refused, _shown_progress(console, file) as progress:
        rejected = refused.write if refused else ignore_rejection
        try:
            result = asyncio.run(_import(file, target, currency, in_flight, progress, rejected))
        except KeyboardInterrupt:
            console.print("Stopped. What was imported stays; a second run goes on from there.")
            raise typer.Exit(EXIT_STOPPED) from None
    _show(console, result, report)
    if result.rejected:
        raise typer.Exit(EXIT_REJECTED)


async def _import(
    file: Path,
    target: Target,
    currency: str,
    in_flight: int,
    progress: Callable[[Progress], None],
    rejected: Callable[[Rejection], None],
) -> ImportReport:
    async with target.channel() as channel:
        login = AdminLogin(channel, email=target.email, password=target.password)
        try:
            await login.token()  # a shop that is not there is told before anything is read
            return await import_catalog(
                file,
                channel=channel,
                token_source=login,
                progress=progress,
                rejected=rejected,
                currency=currency.strip().upper(),
                in_flight=in_flight,
            )
        except MeshError as error:
            raise Failure(f"{target.address}: {unreachable(error)}") from None
        finally:
            await login.close()


@contextmanager
def _shown_progress(console: Console, file: Path) -> Iterator[Callable[[Progress], None]]:
    """Give what shows progress: a bar on a terminal, now and then a line elsewhere."""
    if not console.is_terminal:
        yield _Lines(console).show
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


class _Lines:
    """Progress for a log: a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES

    def show(self, progress: Progress) -> None:
        """Print a line, if the last one is long enough ago."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
            share = f" ({100 * progress.bytes_read // progress.bytes_total} %)" if progress.bytes_total else ""
            self._console.print(f"{progress.rows} rows{share}, {progress.rejected} rejected")


def _show(console: Console, report: ImportReport, path: Path | None) -> None:
    # Cells of a stranger's file are printed as they are, never read as markup.
    for rejection in report.first:
        console.print(f"line {rejection.line}: {_printable(rejection.sentence())}", markup=False, soft_wrap=True)
    if report.rejected > len(report.first):
        where = f"{path} has them all" if path else "--report PATH writes them all"
        console.print(f"... and {report.rejected - len(report.first)} more; {where}.", markup=False)
    if report.reasons:
        table = Table("rows", "reason", box=None, pad_edge=False)
        for reason, count in report.reasons.items():
            table.add_row(str(count), Text(_printable(reason)))
        console.print(table)
    console.print(report.closing_line(), markup=False, soft_wrap=True)


def _printable(text: str) -> str:
    """Return `text` without what would move a terminal's cursor or ring its bell."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
