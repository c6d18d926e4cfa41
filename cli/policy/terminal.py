"""How `zoco policy` writes for a person."""

from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.table import Table

_WIDTH: Final = 120
"""Columns that are used at least: in a narrow terminal lines break, but nothing is left out."""


def write(table: Table, last: str) -> None:
    """Write a table and a last line below it; into a file without the spaces that fill a line up."""
    console = Console()
    console.width = max(console.width, _WIDTH)
    with console.capture() as written:
        console.print(table)
        console.print(f"\n{last}", highlight=False)
    text = written.get()
    print(text if console.is_terminal else "\n".join(line.rstrip() for line in text.split("\n")), end="")


def seconds(duration: timedelta) -> str:
    """A duration as a person reads it, such as `10 s` or `1 h`."""
    total = duration.total_seconds()
    for size, unit in ((3600, "h"), (60, "min")):
        if total and total % size == 0:
            return f"{total / size:g} {unit}"
    return f"{total:g} s"
