"""`zoco policy diff`: what became of who may do what, wider things first."""

from rich.table import Table

from cli.policy.contracts import short
from cli.policy.terminal import write
from mesh.compiler.widening import Change, Kind, compare
from mesh.policy import Policy

_ORDER = (Kind.WIDER, Kind.NEW, Kind.OTHER, Kind.NARROWER, Kind.GONE)
_COLOURS = {Kind.WIDER: "bold red", Kind.NARROWER: "green"}


def show(old: Policy, new: Policy) -> int:
    """Print the changes.

    Returns:
        How many RPCs became wider.
    """
    changes = sorted(compare(old, new), key=lambda change: (_ORDER.index(change.kind), change.path))
    if not changes:
        print(f"Who may do what is the same in all {len(new.methods)} RPCs.")
        return 0
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for change in changes:
        colour = _COLOURS.get(change.kind, "none")
        table.add_row(f"[{colour}]{change.kind.value}[/{colour}]", _name(change, old, new), change.what)
    wider = len({change.path for change in changes if change.kind is Kind.WIDER})
    write(table, f"{_count(wider)} became wider.")
    return wider


def _name(change: Change, old: Policy, new: Policy) -> str:
    return short(new.methods.get(change.path) or old.methods[change.path])


def _count(number: int) -> str:
    return {0: "No RPC", 1: "1 RPC"}.get(number, f"{number} RPCs")
