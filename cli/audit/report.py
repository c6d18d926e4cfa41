"""An audit as a person reads it: a row an invariant, and under it what breaks it."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.audit.comparison import Audit, sentences


def show(audit: Audit, console: Console, *, most: int) -> None:
    """Print the table, and of each invariant at most `most` breaches."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("what must hold", overflow="fold")
    table.add_column("checked", justify="right", no_wrap=True)
    table.add_column("breaches", justify="right", no_wrap=True)
    for verdict in audit.verdicts:
        breaches = Text(str(verdict.breaches), style="red" if verdict.breaches else "green")
        table.add_row(verdict.invariant.value, verdict.title, f"{verdict.checked:,}", breaches)
    console.print(table)
    for verdict in audit.verdicts:
        for sentence in sentences(verdict, most=most):
            console.print(Text(f"{verdict.invariant.value}  {sentence}"), soft_wrap=True)
    broken = [verdict.invariant.value for verdict in audit.verdicts if verdict.breaches]
    console.print(f"Broken: {', '.join(broken)}." if broken else "Every invariant holds.")
