"""What a run has found, for a person: a line a case, what is known to deviate and why, and what failed in full."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tests.conformance.runner import Outcome, Verdict


@dataclass(frozen=True)
class Report:
    """The outcomes of a run."""

    outcomes: Sequence[Outcome]

    @property
    def failures(self) -> Sequence[Outcome]:
        """Those cases that went wrong, or deviate no more."""
        return [each for each in self.outcomes if each.verdict is Verdict.FAILED]

    @property
    def closing_line(self) -> str:
        """The figure."""
        count = [each.verdict for each in self.outcomes].count
        return (
            f"{count(Verdict.PASSED)} passed, {count(Verdict.FAILED)} failed, "
            f"{count(Verdict.DEVIATES)} known deviations"
        )

    def lines(self) -> Iterator[str]:
        """The table, then the deviations, then the failures; the figure is the last line."""
        for subject, outcomes in groupby(self.outcomes, key=lambda each: each.case.subject):
            yield f"\n{subject}"
            for each in outcomes:
                yield f"  {each.verdict.value:<15}  {each.case.name}  [{each.case.source}]"
        for each in self.outcomes:
            if each.case.deviation and each.verdict is Verdict.DEVIATES:
                yield f"\nKnown deviation: {each.case.name}  [{each.case.source}]"
                yield f"  instead: {each.answer}"
                yield f"  harmless: {each.case.deviation.harmless}"
        for each in self.failures:
            yield from self.failure(each)
        yield f"\n{self.closing_line}"

    @staticmethod
    def failure(outcome: Outcome) -> Iterator[str]:
        """One failure: request, what was expected, what came."""
        yield f"\nFAILED: {outcome.case.subject}: {outcome.case.name}  [{outcome.case.source}]"
        for reason in outcome.reasons:
            yield f"  {reason}"
        yield _indented("sent", outcome.request)
        yield _indented("got", outcome.answer)


def _indented(title: str, text: str) -> str:
    return f"  {title}:\n" + "\n".join(f"    {line}" for line in text.splitlines())
