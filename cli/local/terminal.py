"""Progress on a terminal; apart from the rest, because a supervisor in the background has no use for it."""

import sys

from rich.console import Console
from rich.status import Status

from cli.local.progress import PlainProgress


class TerminalProgress:
    """For a terminal: a spinner for what is under way, a tick for what is done."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self._console = console
        self._status: Status | None = None
        self._step = ""

    def begin(self, step: str) -> None:
        """Show the spinner."""
        self.clear()
        self._step = step
        self._status = self._console.status(step)
        self._status.start()

    def update(self, text: str) -> None:
        """Write `text` beside the spinner."""
        if self._status is not None:
            self._status.update(f"{self._step} [dim]{text}[/dim]")

    def end(self, step: str, detail: str, seconds: float) -> None:
        """Replace the spinner by a tick."""
        self.clear()
        self._console.print(f"[green]✓[/green] {step:<22} [dim]{detail:<44}[/dim] {seconds:6.2f} s", highlight=False)

    def clear(self) -> None:
        """Take the spinner away, before something else is printed."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def progress_for(console: Console) -> TerminalProgress | PlainProgress:
    """Return the progress that fits what `console` writes to."""
    return TerminalProgress(console) if console.is_terminal else PlainProgress(sys.stdout)
