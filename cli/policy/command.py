"""`zoco policy show|explain|diff`: their arguments. What they do is loaded when they are called."""

from typing import Annotated

import typer

policy_app = typer.Typer(no_args_is_help=True, help="Who may call what: show it, explain a decision, compare two.")

_JSON = typer.Option("--json", help="For programs.")


@policy_app.command()
def show(as_json: Annotated[bool, _JSON] = False) -> None:
    """Show who may call each RPC, how often and for how long."""
    from cli.policy import overview  # noqa: PLC0415 - other commands need not wait for it; here as below
    from cli.policy.contracts import present  # noqa: PLC0415

    policy = present().policy
    if as_json:
        print(overview.as_json(policy))
    else:
        overview.show(policy)


@policy_app.command()
def explain(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="Such as GetOrder or OrderService/GetOrder.")],
    identity: Annotated[
        str,
        typer.Argument(metavar="IDENTITY", help="Such as nobody, user, other, admin, expired, or a workload's name."),
    ],
) -> None:
    """Say whether somebody may call an RPC, and what decides."""
    from cli.policy import explanation  # noqa: PLC0415
    from cli.policy.contracts import present  # noqa: PLC0415

    contracts = present()
    print(explanation.explain(contracts, contracts.find(method), identity))


@policy_app.command()
def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A git revision, or a file like generated/descriptors.binpb.")
    ],
    new: Annotated[
        str | None, typer.Argument(metavar="[NEW]", help="The same; the contracts of this checkout if left out.")
    ] = None,
) -> None:
    """Show which RPCs a change makes wider. Exit code 1 if there is one."""
    from cli.policy import comparison  # noqa: PLC0415
    from cli.policy.contracts import present, read  # noqa: PLC0415

    before, after = read(old), present() if new is None else read(new)
    if comparison.show(before.policy, after.policy):
        raise typer.Exit(1)
