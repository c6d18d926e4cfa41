"""`zoco audit`: the invariants of the running system, each with its count."""

import asyncio
import gc
from pathlib import Path
from typing import Annotated

import typer

from cli.failures import Failure
from cli.local.home import Home
from cli.local.settings import read_settings

CANNOT_LOOK = 2
MOST_SHOWN = 10


def audit_command(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    settle: Annotated[float, typer.Option(min=0, help="Seconds to wait at most until everything is at rest.")] = 0.0,
    poison: Annotated[int, typer.Option(min=0, help="How many dead letters there should be.")] = 0,
    acknowledged: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Orders that clients were given: an id a line.")
    ] = None,
    canary: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="What was told in confidence; may be repeated.")
    ] = None,
) -> None:
    """Check the invariants of the running system. Exit code 0: all hold, 1: one does not, 2: it cannot look."""
    # What another command does not need, it does not wait for.
    from rich.console import Console  # noqa: PLC0415

    from cli.audit.auditing import audit  # noqa: PLC0415
    from cli.audit.comparison import as_json as rendered  # noqa: PLC0415
    from cli.audit.report import show  # noqa: PLC0415
    from cli.audit.target import acknowledged_ids, dumped, running_target  # noqa: PLC0415
    from mesh.audit.reading import CannotLook  # noqa: PLC0415

    # Millions of facts that live until the end, and nothing that refers back: the collector would only go over them.
    gc.disable()
    try:
        ids = acknowledged_ids(acknowledged) if acknowledged else []
        settings = read_settings()
        target = running_target(settings, Home(settings.home), canary or ())
        found = asyncio.run(audit(target, settle=settle, poison=poison, acknowledged=ids))
    except (Failure, CannotLook) as failed:
        typer.echo(f"zoco: {failed}", err=True)
        raise typer.Exit(CANNOT_LOOK) from None
    if as_json:
        print(dumped(rendered(found, most=MOST_SHOWN)))
    else:
        show(found, Console(), most=MOST_SHOWN)
    if not found.clean:
        raise typer.Exit(1)
