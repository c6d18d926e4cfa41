"""What a chaos run tells: a line a round while it goes on, and a page at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.outcome import Outcome


@dataclass
class Report:
    """A run as it goes on.

    Args:
        path: Where the page is written; anew with every row, so that a run that is cut off leaves what it has seen.
        seed: With which all can be repeated.
    """

    path: Path
    seed: int
    crashes: list[Outcome] = field(default_factory=list)
    faults: list[Outcome] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    """What the run as a whole was to try and did not come by."""
    audits: int = 0
    left_out: Sequence[str] = ()
    """Faults that this account may not inflict."""

    def add(self, outcome: Outcome, *, to: list[Outcome]) -> None:
        """Takes a row, prints it and writes the page."""
        to.append(outcome)
        state = "FAIL" if outcome.wrong or outcome.unproven else "ok  "
        settled = "" if outcome.settled is None else f", at rest after {outcome.settled:.1f} s"
        notes = f" ({', '.join(outcome.notes)})" if outcome.notes else ""
        print(
            f"{state} {outcome.name}{notes}: {outcome.acknowledged} orders in {outcome.seconds:.1f} s{settled}",
            flush=True,
        )
        for line in (*outcome.wrong, *outcome.unproven):
            print(f"     {line}", flush=True)
        self.write()

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """All rows."""
        return [*self.crashes, *self.faults]

    @property
    def failed(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.unproven) or any(each.wrong or each.unproven for each in self.outcomes)

    @property
    def closing_line(self) -> str:
        """The figures that count: faults, orders, and what went wrong with them by the invariant that says so."""
        lines = [line for each in self.outcomes for line in each.wrong]
        twice = sum(line.startswith(("I3 ", "I4 ", "I7 ")) for line in lines)
        oversold = sum(line.startswith("I1 ") for line in lines)
        lost = len(lines) - twice - oversold
        orders = sum(each.acknowledged for each in self.outcomes)
        faults = len(self.outcomes)
        return f"{faults} faults, {orders} orders acknowledged, {lost} lost, {twice} charged twice, {oversold} oversold"

    def write(self) -> None:
        """Writes the page."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(self._lines()) + "\n")

    def _lines(self) -> Sequence[str]:
        now = datetime.now(UTC)
        lines = [
            "# Chaos report",
            "",
            f"{self.closing_line}.",
            "",
            f"{now:%d %B %Y, %H:%M} UTC, seed {self.seed}, {self.audits} audits.",
        ]
        if self.left_out:
            lines += ["", f"Left out, because only root may do it: {', '.join(self.left_out)}."]
        if self.unproven:
            lines += ["", "## Not shown", "", *(f"- {each}" for each in self.unproven)]
        if self.faults:
            lines += ["", "## Faults under load", "", *_table(self.faults)]
        if self.crashes:
            lines += ["", "## Crashes at named points", "", *_table(self.crashes)]
        return lines


def _table(rows: Sequence[Outcome]) -> Sequence[str]:
    head = ["| fault | orders acknowledged | lasted | at rest after | result |", "|---|---|---|---|---|"]
    return [*head, *(_row(each) for each in rows)]


def _row(each: Outcome) -> str:
    settled = "" if each.settled is None else f"{each.settled:.1f} s"
    notes = f" ({', '.join(each.notes)})" if each.notes else ""
    result = "; ".join([*each.wrong, *each.unproven]).replace("|", "\\|").replace("\n", " ") or "whole"
    return f"| {each.name}{notes} | {each.acknowledged} | {each.seconds:.1f} s | {settled} | {result} |"
