"""The commands of `zoco`. Each reads its settings, does one thing, and ends in exit code 0 or in one sentence and 1."""

import json
import sys
from typing import Annotated

import typer

from cli.audit.command import audit_command
from cli.catalog_import.command import import_command
from cli.events.command import events_app
from cli.failures import Failure, as_failure
from cli.keys import keys_app
from cli.local.home import Home
from cli.local.settings import LocalSettings, read_settings
from cli.policy.command import policy_app

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """Run the command line; a known failure becomes one sentence on stderr and exit code 1."""
    try:
        app()
    except Failure as failure:
        _complain(failure)
    except OSError as error:
        known = as_failure(error)
        if known is None:
            raise
        _complain(known)


def _complain(failure: Failure) -> None:
    for line in failure.details:
        print(f"  {line}", file=sys.stderr)
    print(f"zoco: {failure}", file=sys.stderr)
    sys.exit(1)


def _opened() -> tuple[LocalSettings, Home]:
    settings = read_settings()
    return settings, Home(settings.home)


@app.command()
def up(detach: Annotated[bool, typer.Option("--detach", help="Return when everything is ready.")] = False) -> None:
    """Start everything: database, broker, migrations, services, edge."""
    # What another command does not need, it does not wait for: here as in the others below.
    from rich.console import Console  # noqa: PLC0415

    from cli.local import foreground  # noqa: PLC0415

    settings, home = _opened()
    if detach:
        foreground.start_detached(settings, home, Console())
    else:
        foreground.start_attached(settings, home, Console())


@app.command()
def down() -> None:
    """Stop everything in order: edge, services, broker, database."""
    from cli.local.stopping import stop  # noqa: PLC0415

    _, home = _opened()
    print(stop(home))


@app.command()
def reset() -> None:
    """Stop everything and delete its data, keys and logs."""
    from cli.local.stopping import reset as forget  # noqa: PLC0415

    _, home = _opened()
    forget(home)
    print(f"{home.root} is empty; the next start makes everything anew.")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="With the memory of each process (PSS).")] = False,
) -> None:
    """Show every process. Exit code 0 when all are healthy, 1 otherwise."""
    from rich.console import Console  # noqa: PLC0415

    from cli.local import overview  # noqa: PLC0415

    _, home = _opened()
    answer = overview.fetch(home, memory=memory)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        overview.show(answer, Console(), memory=memory)
    if not overview.all_healthy(answer):
        raise typer.Exit(1)


@app.command()
def migrate(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE]...", help="All where none is named.")
    ] = None,
) -> None:
    """Bring the databases to the newest schema. Safe when two do it at once."""
    from cli.local import migrations, running  # noqa: PLC0415

    settings, home = _opened()
    databases = running.databases(settings, home)
    unknown = sorted(set(services or ()) - set(databases))
    if unknown:
        raise Failure(f"{unknown[0]} is no service with a database; those are {', '.join(databases)}.")
    chosen = {name: url for name, url in databases.items() if not services or name in services}
    changed = migrations.upgrade(chosen)
    print(f"Migrated {', '.join(changed)}." if changed else "Every database is at its newest schema.")


@app.command()
def gen() -> None:
    """Write generated/ anew from the contracts."""
    from mesh.compiler.__main__ import main as generate  # noqa: PLC0415

    sys.argv = ["zoco gen"]
    raise typer.Exit(generate())


app.command(name="audit")(audit_command)
app.command(name="import")(import_command)
app.add_typer(events_app, name="events")
app.add_typer(keys_app, name="keys")
app.add_typer(policy_app, name="policy")
