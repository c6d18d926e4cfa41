"""`zoco keys`: who has which key and until when, and their rotation while the shop runs."""

import json
import sys
from datetime import timedelta
from enum import Enum
from typing import Annotated

import typer

from cli.failures import Failure
from cli.local.home import Home
from cli.local.settings import LocalSettings, read_settings

keys_app = typer.Typer(
    help="Certificates and signing keys: show them, rotate them.", invoke_without_command=True, rich_markup_mode=None
)


class Rotation(Enum):
    """What can be rotated."""

    LEAF = "leaf"
    CA = "ca"
    SIGNING = "signing"


@keys_app.callback()
def show(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Show who has which key, from whom and until when."""
    if context.invoked_subcommand is not None:
        return
    # What another command does not need, it does not wait for: here as in the others below.
    from rich.console import Console  # noqa: PLC0415

    from cli.local import keyring  # noqa: PLC0415

    settings, home = _opened()
    rows = keyring.overview(home.pki, _lead(settings))
    if as_json:
        print(json.dumps(keyring.as_json(rows), indent=2))
    else:
        keyring.show(rows, Console())


@keys_app.command()
def rotate(
    what: Annotated[Rotation, typer.Argument(help="Certificates, their authority, or the key that signs tokens.")],
    workload: Annotated[str | None, typer.Option(help="Only this one's certificate (with `leaf`).")] = None,
) -> None:
    """Replace keys without a restart and without a failed call. After a kill the same command goes on."""
    settings, home = _opened()
    if workload is not None and what is not Rotation.LEAF:
        raise Failure("--workload goes with `zoco keys rotate leaf`.")
    match what:
        case Rotation.LEAF:
            from cli.local.rotation import rotate_leaves  # noqa: PLC0415

            print(f"New certificates: {', '.join(rotate_leaves(home.pki, workload))}.")
        case Rotation.CA:
            from cli.local.following import Followers  # noqa: PLC0415
            from cli.local.keyring import dropped_sentence  # noqa: PLC0415
            from cli.local.rotation import rotate_authority  # noqa: PLC0415

            rotate_authority(home.pki, Followers(home).settled, lambda step: print(f"  {step}", file=sys.stderr))
            print(dropped_sentence())
        case Rotation.SIGNING:
            from cli.local.keyring import rotate_signing_key  # noqa: PLC0415

            print(rotate_signing_key(home.pki, _lead(settings)))


@keys_app.command()
def retire(
    kid: Annotated[str | None, typer.Argument(help="Which; without it, all that no valid token needs.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Although tokens it signed are still valid.")] = False,
) -> None:
    """Delete signing keys that are not needed any more; a running shop does so by itself."""
    from cli.local.keyring import retire_keys  # noqa: PLC0415

    settings, home = _opened()
    print(retire_keys(home.pki, _lead(settings), kid, force=force))


def _opened() -> tuple[LocalSettings, Home]:
    settings = read_settings()
    home = Home(settings.home)
    if not home.pki.is_dir():
        raise Failure(f"There are no keys under {home.root}; `make up` makes them.")
    return settings, home


def _lead(settings: LocalSettings) -> timedelta:
    return timedelta(seconds=settings.signing_key_lead_seconds)
