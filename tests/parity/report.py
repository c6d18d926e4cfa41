"""What came of it: every answer beside what the policy model decides, and where they differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.decision import Decision
from tests.parity.answers import Answer


@dataclass(frozen=True)
class Disagreement:
    """One answer that is not what the contract says."""

    layer: str
    method: str
    asker: str
    expected: Decision
    answer: Answer

    def __str__(self) -> str:
        """One line that names everything."""
        said = "lets it pass" if self.answer.allowed else f"refuses with {self.answer.code} {self.answer.reason}"
        wanted = "allowed" if self.expected.allowed else f"{self.expected.code.name} {self.expected.reason}"
        return f"{self.layer}: {self.method} for {self.asker}: {said}; the contract: {wanted} ({self.expected.line})"


@dataclass
class Report:
    """Counts of one run."""

    decisions: Counter[str] = field(default_factory=Counter)
    disagreements: list[Disagreement] = field(default_factory=list)

    def lines(self) -> Sequence[str]:
        """The report as a person reads it; the figure last."""
        return [
            *map(str, self.disagreements),
            *(f"{layer:<12} {count:>5} decisions" for layer, count in self.decisions.items()),
            f"{self.decisions.total()} decisions, {len(self.disagreements)} disagreements",
        ]
