"""`zoco import`: its arguments. What it does is loaded when it is called; other commands need not wait for it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


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
    in_flight: Annotated[
        int | None, typer.Option(min=1, max=16, help="Batches on their way at a time.", show_default="3")
    ] = None,
) -> None:
    """Load a catalog into the shop. Exit code 0: every row is in; 3: some are refused; 1: it was not possible."""
    from cli.catalog_import import session  # noqa: PLC0415 - gRPC and the contracts take half a second to load
    from cli.catalog_import.target import find_target  # noqa: PLC0415
    from cli.local.home import Home  # noqa: PLC0415
    from cli.local.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    target = find_target(settings, Home(settings.home), address, ca)
    request = session.Request(file, report, currency, in_flight or session.IN_FLIGHT)
    raise typer.Exit(session.run(request, target, Console(highlight=False)))
