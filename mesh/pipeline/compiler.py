"""Compiles the pipeline of a method: the stages its contract asks for, in the one order they make sense in."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from mesh.logs import JsonLog
from mesh.metrics import Metrics
from mesh.pipeline.access_log import access_log_stage
from mesh.pipeline.answers import AnswerCache
from mesh.pipeline.cache import cache_stage, is_cached
from mesh.pipeline.exchange import Next, Stage
from mesh.pipeline.idempotency import LookUp, idempotency_stage
from mesh.pipeline.observation import metrics_stage, trace_stage
from mesh.pipeline.protection import (
    authentication_stage,
    authorization_stage,
    deadline_stage,
    errors_stage,
    validation_stage,
)
from mesh.pipeline.rate_limit import RateLimits, rate_limit_stage
from mesh.pipeline.shedding import Load, shedding_stage
from mesh.pipeline.standing import standing_stage
from mesh.policy import Audience, MethodPolicy
from mesh.tokens import TokenVerifier
from mesh.tuning import ProfileName, Tuning, load_tuning


@dataclass(frozen=True)
class StageRule:
    """A stage's place in the order: why it stands there and which methods have it."""

    name: str
    reason: str
    wanted: Callable[[MethodPolicy], bool]


def _always(_: MethodPolicy) -> bool:
    return True


STAGES: Final = (
    StageRule(
        "shedding",
        "first: a call that is refused must cost next to nothing, no span and no log line; operators are never refused",
        lambda method: bool(method.workload),
    ),
    StageRule("tracing", "everything below happens inside the span, logs included", _always),
    StageRule("metrics", "outside of errors: it counts the status that really goes out", _always),
    StageRule("access_log", "outside of errors, for the same reason; inside the span, for its ids", _always),
    StageRule("errors", "every exception below becomes a status with details", _always),
    StageRule("deadline", "before any work: a call without time left costs nothing", _always),
    StageRule(
        "authentication",
        "who is it? internal methods know workloads only",
        lambda method: method.audience is not Audience.NONE,
    ),
    StageRule("authorization", "may they? decided before the request is looked at", _always),
    StageRule(
        "rate_limit",
        "after authorization: who may not call uses up nobody's tokens; before the cache: its answers count as well",
        lambda method: bool(method.rate_limits),
    ),
    StageRule(
        "cache",
        "after authorization, for who may not call gets no answer; before validation, for what is remembered was valid",
        is_cached,
    ),
    StageRule(
        "validation",
        "after authorization: who may not call learns nothing of what a good request looks like",
        lambda method: not method.client_streaming,
    ),
    StageRule(
        "standing",
        "after all checks: a stream outlives them, and ends when the token it was opened with is revoked",
        lambda method: method.server_streaming and method.audience is not Audience.NONE,
    ),
    StageRule(
        "idempotency",
        "last: only a call that would have been served is looked up, under its own principal",
        lambda method: method.keyed,
    ),
)
"""The order of the stages, outermost first. A test asserts it."""


@dataclass(frozen=True)
class Capacity:
    """What a process has under way, what it lets callers have, and what it remembers."""

    load: Load
    rate_limits: RateLimits
    answers: AnswerCache

    @classmethod
    def of(
        cls, tuning: Tuning, profile: ProfileName, metrics: Metrics, background: Callable[[], int] = lambda: 0
    ) -> Self:
        """That of a process by the numbers of `mesh/tuning.yaml`.

        Args:
            tuning: The numbers.
            profile: Whose rate limits hold.
            metrics: Where it is shown.
            background: How much is being done that no call waits for.
        """
        return cls(
            Load(tuning.shedding, metrics, background),
            RateLimits(partial(tuning.rate, profile=profile), max_keys=tuning.rate_limits.max_keys),
            AnswerCache(tuning.cache, metrics.cache_invalidated),
        )


class PipelineCompiler:
    """Builds the pipeline of each method once.

    Args:
        metrics: What is counted.
        verifier: Verifies access tokens.
        look_up: Finds first answers; None in a process without keyed methods.
        capacity: What the process can take; by `mesh/tuning.yaml` unless given.
        json_log: Where the access log is rendered to directly.
    """

    def __init__(
        self,
        metrics: Metrics,
        verifier: TokenVerifier,
        look_up: LookUp | None = None,
        capacity: Capacity | None = None,
        json_log: JsonLog | None = None,
    ) -> None:
        capacity = capacity or Capacity.of(load_tuning(), "production", metrics)
        self._builders: dict[str, Stage] = {
            "shedding": shedding_stage(capacity.load, metrics),
            "tracing": trace_stage,
            "metrics": metrics_stage(metrics),
            "access_log": access_log_stage(json_log),
            "errors": errors_stage(metrics),
            "deadline": deadline_stage,
            "authentication": authentication_stage(verifier),
            "authorization": authorization_stage,
            "rate_limit": rate_limit_stage(capacity.rate_limits),
            "cache": cache_stage(capacity.answers, metrics),
            "validation": validation_stage,
            "standing": standing_stage(verifier.revocations),
        }
        if look_up is not None:
            self._builders["idempotency"] = idempotency_stage(look_up, metrics)

    def compile(self, policy: MethodPolicy, behaviour: Next) -> Next:
        """Wraps a method's behaviour into its stages.

        Raises:
            KeyError: A keyed method in a process that cannot look up first answers.
        """
        proceed = behaviour
        for rule in reversed(STAGES):
            if rule.wanted(policy):
                proceed = self._builders[rule.name](policy, proceed)
        return proceed


def stages_of(policy: MethodPolicy) -> tuple[str, ...]:
    """The names of the stages a method has, outermost first."""
    return tuple(rule.name for rule in STAGES if rule.wanted(policy))
