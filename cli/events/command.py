"""`zoco events`: dead letters, events told again, read models made anew."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.failures import Failure
from cli.local.home import Home
from cli.local.settings import read_settings

events_app = typer.Typer(
    help="Events that went wrong: list and retry dead letters, tell events again, make read models anew.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RETRY_SECONDS = 15.0
"""How long `retry` waits for the services to try what it asks for."""

Service = Annotated[str | None, typer.Argument(help="All where none is named.")]


@events_app.command()
def dead(
    service: Service = None, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """List what was given up: who could not handle which event, and why."""
    # What another command does not need, it does not wait for: here as in the others below.
    from rich.console import Console  # noqa: PLC0415

    from cli.events import work  # noqa: PLC0415
    from cli.events.report import show  # noqa: PLC0415

    letters = asyncio.run(work.dead(work.chosen(_databases(), service)))
    if as_json:
        print(json.dumps([letter.as_json() for letter in letters], indent=2))
    else:
        show(letters, Console())


@events_app.command()
def retry(
    event_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="As `zoco events dead` shows it.")] = None,
    service: Service = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
) -> None:
    """Let a service handle dead letters once more. Exit code 1 if one of them fails again."""
    from cli.events import work  # noqa: PLC0415

    databases = _databases()
    if everything and service is None:
        event_id, service = None, event_id  # `zoco events retry --all user`
    if everything == (event_id is not None):
        raise Failure("Say which dead letter, by its id, or --all.")
    meant = work.chosen(databases, service)
    asked = asyncio.run(work.retry(meant, event_id))
    if not asked:
        print("There is no dead letter.")
        return
    again, waiting = asyncio.run(work.outcome(meant, asked, seconds=RETRY_SECONDS))
    details = tuple(f"{each.letter.event_id} ({each.service}): {each.letter.reason}" for each in again)
    if waiting:
        names = ", ".join(sorted({each.service for each in waiting}))
        raise Failure(f"{len(waiting)} wait to be tried, because {names} does not run.", details=details)
    if again:
        raise Failure(f"{len(again)} of {len(asked)} failed again.", details=details)
    print(f"{len(asked)} handled.")


@events_app.command()
def republish(
    since: Annotated[str, typer.Option(metavar="TIME", help="90m, 12h or 7d ago, or 2026-11-28T09:30 (UTC).")],
    service: Service = None,
) -> None:
    """Tell events again, out of the outboxes. Whoever handled one already notices, and does nothing."""
    from cli.events import work  # noqa: PLC0415
    from cli.events.moments import moment  # noqa: PLC0415

    meant = moment(since, now=datetime.now(UTC))
    counts = asyncio.run(work.republish(work.chosen(_databases(), service), meant))
    told = ", ".join(f"{count} of {name}" for name, count in counts.items() if count)
    print(f"Events since {meant:%Y-%m-%d %H:%M:%S} UTC go out again: {told or 'there are none'}.")


@events_app.command()
def rebuild(service: Annotated[str, typer.Argument(help="Whose: analytics or order.")]) -> None:
    """Make what a service shows anew, from history, while it runs."""
    from cli.events import work  # noqa: PLC0415
    from cli.local import catalog  # noqa: PLC0415

    print(f"{service}: {asyncio.run(work.rebuild(_databases(), service, catalog.events()))}.")


def _databases() -> Mapping[str, str]:
    from cli.local import running  # noqa: PLC0415

    settings = read_settings()
    home = Home(settings.home)
    return running.present_databases(settings, home)
