"""Dead letters as a person reads them."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.events.work import Letter


def show(letters: Sequence[Letter], console: Console) -> None:
    """Print the table; one sentence where there is nothing."""
    if not letters:
        console.print("There is no dead letter.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("service", "event", "id", "tries", "dead since (UTC)", "reason"):
        table.add_column(name, overflow="fold", no_wrap=name in {"service", "id"})
    for each in letters:
        letter = each.letter
        tries = str(letter.tries) if letter.tries else "asked for"
        row = (
            each.service,
            letter.subject.rpartition(".")[2],
            letter.event_id,
            tries,
            f"{letter.dead_at:%m-%d %H:%M:%S}",
        )
        table.add_row(*map(Text, row), Text(letter.reason))
    console.print(table)
