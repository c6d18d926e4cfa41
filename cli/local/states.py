"""The states of a supervised process, one type each."""

from dataclasses import dataclass
from typing import assert_never


@dataclass(frozen=True)
class Starting:
    """It runs and has not been healthy yet."""

    reason: str = ""


@dataclass(frozen=True)
class Healthy:
    """It runs and says that it is well."""


@dataclass(frozen=True)
class Unhealthy:
    """It runs, was healthy, and is not now."""

    reason: str


@dataclass(frozen=True)
class Restarting:
    """It died and will be started again."""

    attempt: int
    next_try: float
    """Seconds since the epoch."""
    reason: str


@dataclass(frozen=True)
class Stopping:
    """It was told to stop."""


@dataclass(frozen=True)
class Stopped:
    """It does not run and will not be started again."""

    reason: str = ""


State = Starting | Healthy | Unhealthy | Restarting | Stopping | Stopped


def describe(state: State, now: float) -> tuple[str, str]:
    """Return the name of a state and its reason, as a person reads them; `now` in seconds since the epoch."""
    match state:
        case Starting(reason):
            return "starting", reason
        case Healthy():
            return "healthy", ""
        case Unhealthy(reason):
            return "unhealthy", reason
        case Restarting(attempt, next_try, reason):
            return "restarting", f"{reason}; attempt {attempt} in {max(0.0, next_try - now):.1f} s"
        case Stopping():
            return "stopping", ""
        case Stopped(reason):
            return "stopped", reason
        case _:
            assert_never(state)
