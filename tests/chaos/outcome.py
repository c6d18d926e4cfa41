"""What came of a round or a fault."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """One row of the report."""

    name: str
    acknowledged: int
    """Orders that customers were told of meanwhile."""
    seconds: float
    """From the first customer to the last one's end."""
    settled: float | None = None
    """Seconds from the end of the fault until the shop was at rest and audited; None where no audit followed."""
    wrong: list[str] = field(default_factory=list)
    """A line for whatever was lost, done twice, oversold or answered wrongly."""
    unproven: list[str] = field(default_factory=list)
    """What was to be tried and did not come about: nothing was lost, and nothing is shown."""
    notes: list[str] = field(default_factory=list)
    """Figures that a reader wants to see, such as how often a process was killed."""
