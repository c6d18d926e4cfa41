"""What a measurement comes to: figures, and comparing two things run alternately in one session."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

SHORT: Final = os.environ.get("BENCH_SHORT", "0") not in {"", "0"}
"""Whether only to show that the measuring works: one short round, too little to judge by."""

ROUNDS: Final = 1 if SHORT else 5
SLICES: Final = 1 if SHORT else 12
"""How many times each of the two things is measured in a round. They take turns, so that a machine whose speed drifts
drifts for both."""
SECONDS: Final = 0.5
"""How long a slice is."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        name: What was measured.
        value: The median of all rounds.
        spread: The least and the greatest of them.
        unit: Of the value; empty for a ratio.
        target: What the value must reach at least; None where it only explains another figure.
        aim: What would be better than the target.
    """

    name: str
    value: float
    spread: tuple[float, float]
    unit: str = ""
    target: float | None = None
    aim: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the target is reached."""
        if self.target is None:
            return ""
        if self.aim is not None and self.value >= self.aim:
            return "beyond the target"
        return "reached" if self.value >= self.target else "MISSED"


@dataclass(frozen=True)
class Sample:
    """What one server did under one load."""

    calls: int
    """How many were answered."""
    seconds: float
    """In how much time."""
    spent: float
    """The server's CPU time, in seconds."""

    def __add__(self, other: "Sample") -> "Sample":
        """Both as if they were one."""
        return Sample(self.calls + other.calls, self.seconds + other.seconds, self.spent + other.spent)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.calls / self.seconds

    @property
    def cost(self) -> float:
        """The server's CPU time a request, in microseconds."""
        return self.spent / self.calls * 1e6

    @property
    def busy(self) -> float:
        """Share of its core that the server used. Well below 1, the load was not enough and the rate says little."""
        return self.spent / self.seconds


NOTHING: Final = Sample(0, 0.0, 0.0)


def compare(
    name: str,
    tried: tuple[str, Callable[[], Sample]],
    against: tuple[str, Callable[[], Sample]],
    *,
    target: float | None = None,
    aim: float | None = None,
) -> list[Figure]:
    """Measures two things alternately; the first figure is the ratio of their rates, the others explain it.

    CPU time a request is told beside the rate: it hardly changes when something else runs on the machine.
    """
    pairs = [_round(tried[1], against[1]) for _ in range(ROUNDS)]
    ones, others = [one for one, _ in pairs], [other for _, other in pairs]
    return [
        figure(name, [one.rate / other.rate for one, other in pairs], target=target, aim=aim),
        figure(f"{name}: by CPU time", [other.cost / one.cost for one, other in pairs]),
        *_explained(tried[0], ones),
        *_explained(against[0], others),
    ]


def _round(tried: Callable[[], Sample], against: Callable[[], Sample]) -> tuple[Sample, Sample]:
    """The slices of one round, put together."""
    one = other = NOTHING
    for number in range(SLICES):
        # Who goes first changes, too: neither has the warmer machine.
        if number % 2:
            other, one = other + against(), one + tried()
        else:
            one, other = one + tried(), other + against()
    return one, other


def figure(
    name: str, values: list[float], *, unit: str = "", target: float | None = None, aim: float | None = None
) -> Figure:
    """The figure that several rounds come to."""
    return Figure(name, median(values), (min(values), max(values)), unit, target, aim)


def _explained(label: str, samples: list[Sample]) -> list[Figure]:
    return [
        figure(f"  {label}: rate", [each.rate for each in samples], unit="requests/s"),
        figure(f"  {label}: CPU time", [each.cost for each in samples], unit="us/request"),
        figure(f"  {label}: share of its core", [each.busy for each in samples]),
    ]
