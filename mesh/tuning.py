"""The numbers that may change without changing a promise: `mesh/tuning.yaml`, read strictly."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import ErrorDetails

from mesh.policy import RateLimit

TUNING: Final = Path(__file__).parent / "tuning.yaml"
"""The committed file."""

ProfileName = Literal["dev", "production"]
"""`dev` is what `make up` uses, `production` what the chart uses."""

_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours"}
_DURATION: Final = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|s|m|h)")


class TuningError(Exception):
    """The file breaks a rule. The text has one finding a line, each with the file and the dotted path of the key."""


class Rate(NamedTuple):
    """Requests that pass in a window."""

    requests: int
    per: timedelta


def _parse_duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no duration; write a number and a unit (ms, s, m, h), such as 250ms or 2s")
    duration = timedelta(**{_UNITS[match["unit"]]: float(match["number"])})
    if not duration:
        raise ValueError(f"{value!r} is no time at all; a duration must be longer than 0s")
    return duration


Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
Percent = Annotated[int, Field(ge=0, le=100)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    # Strict: `requests: true` would count as 1, and `"5"` as 5.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Tier(_Section):
    """The rate of the limits that name this tier."""

    requests: PositiveInt
    per: Duration


class Profile(_Section):
    """Rate limits of one environment."""

    tiers: Mapping[str, Tier]


class Profiles(_Section):
    """Profiles that differ from the contract's own numbers."""

    dev: Profile


class RetryTuning(_Section):
    """How repeats are spaced and bounded; how many there are is the contract's business."""

    initial_backoff: Duration
    """Longest pause before the first repeat; the pause itself is random."""
    max_backoff: Duration
    """Longest pause before any."""
    multiplier: PositiveFloat
    """By how much the longest pause grows with each."""
    budget_percent: Percent
    """Repeats at most, in percent of the calls under way (Envoy) or answered (gRPC's throttling)."""
    min_concurrency: PositiveInt
    """Repeats that may run at once in any case (Envoy)."""
    throttle_tokens: Annotated[int, Field(ge=2, le=1000)]
    """gRPC's bucket: a failure takes one, a success gives budget_percent / 100; below half, nothing is repeated."""


class Breakers(_Section):
    """How much may be under way from one process to one workload."""

    max_connections: PositiveInt
    max_pending_requests: PositiveInt
    max_requests: PositiveInt
    max_retries: PositiveInt


class Ejection(_Section):
    """When a process that only fails is left alone for a while (Envoy's outlier detection)."""

    consecutive_gateway_failure: PositiveInt
    interval: Duration
    base_time: Duration
    max_time: Duration
    max_percent: Percent


class Shedding(_Section):
    """When a process refuses calls because it has all it can serve."""

    max_in_flight: PositiveInt
    """Calls under way at once, in one process; streams are not among them."""
    max_streams: PositiveInt
    """Streams that are open at once, in one process."""
    max_loop_lag: Duration
    """By how much the event loop may be late before all calls are refused."""
    calm_loop_lag: Duration
    """By how much it may be late on average before fewer changes are let in."""
    public_share: Share
    """How much of each of these anonymous reads may fill."""
    user_share: Share
    """How much, with persons' reads, and what may be changed without an account, such as logging in."""
    change_share: Share
    """How much, at most, with what persons change and what that has left to do; the rest is for other workloads."""


class CacheTuning(_Section):
    """The cache of answers to public reads, in one process."""

    max_entries: PositiveInt
    max_bytes: PositiveInt


class RateLimitTuning(_Section):
    """The counters of rate limits, in one process."""

    max_keys: PositiveInt
    """Addresses and subjects that are counted at once; the one seen longest ago is forgotten first."""


class Tuning(_Section):
    """The whole file."""

    profiles: Profiles
    retry: RetryTuning
    breakers: Breakers
    ejection: Ejection
    shedding: Shedding
    cache: CacheTuning
    rate_limits: RateLimitTuning

    _file: str = PrivateAttr("")
    """What errors call the file that this was read from."""

    def rate(self, limit: RateLimit, profile: ProfileName) -> Rate:
        """What a limit of a contract comes to in a profile.

        Raises:
            TuningError: The profile has no such tier.
        """
        if profile == "production":
            return Rate(limit.requests, limit.per)
        tier = self.profiles.dev.tiers.get(limit.tier)
        if tier is None:
            raise TuningError(f"{self._file}: profiles.dev.tiers.{limit.tier}: is missing; a contract names this tier")
        return Rate(tier.requests, tier.per)


def load_tuning(path: Path = TUNING) -> Tuning:
    """Reads the file.

    Raises:
        TuningError: An unknown or missing key, a wrong unit or number, or no YAML; names file and path.
        OSError: The file cannot be read.
    """
    name = _name(path)
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise TuningError(f"{name}: is no YAML: {' '.join(str(error).split())}") from None
    try:
        tuning = Tuning.model_validate(content)
    except ValidationError as invalid:
        raise TuningError("\n".join(f"{name}: {_finding(each)}" for each in invalid.errors())) from None
    tuning._file = name  # noqa: SLF001 - its own class
    return tuning


def _name(path: Path) -> str:
    """The committed file by its place in the project, another one as it was given."""
    return "mesh/tuning.yaml" if path == TUNING else str(path)


def _finding(error: ErrorDetails) -> str:
    path = ".".join(str(part) for part in error["loc"]) or "the file"
    match error["type"]:
        case "extra_forbidden":
            return f"{path}: no such key; {_neighbours(error['loc'])}"
        case "missing":
            return f"{path}: is missing"
        case "value_error":
            return f"{path}: {error['ctx']['error']}"
        case "model_type" | "model_attributes_type":
            return f"{path}: must hold keys, not {error['input']!r}"
        case _:
            return f"{path}: {error['input']!r} is wrong: {error['msg'][0].lower()}{error['msg'][1:]}"


def _neighbours(location: tuple[int | str, ...]) -> str:
    """What may stand where an unknown key does."""
    section: Any = Tuning
    for part in location[:-1]:
        fields = section.model_fields
        section = fields[part].annotation if part in fields else section
        if section == Mapping[str, Tier]:
            section = Tier
    return f"there are {', '.join(section.model_fields)}"
