"""Compiles the pipeline of a method: the stages its contract asks for, in the one order they make sense in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.metrics import Metrics
from mesh.pipeline.exchange import Next, Stage
from mesh.pipeline.idempotency import LookUp, idempotency_stage
from mesh.pipeline.observation import access_log_stage, metrics_stage, trace_stage
from mesh.pipeline.protection import (
    authentication_stage,
    authorization_stage,
    deadline_stage,
    errors_stage,
    validation_stage,
)
from mesh.policy import Audience, MethodPolicy
from mesh.tokens import TokenVerifier


@dataclass(frozen=True)
class StageRule:
    """A stage's place in the order: why it stands there and which methods have it."""

    name: str
    reason: str
    wanted: Callable[[MethodPolicy], bool]


def _always(_: MethodPolicy) -> bool:
    return True


STAGES: Final = (
    StageRule("tracing", "first: everything below happens inside the span, logs included", _always),
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
        "validation",
        "after authorization: who may not call learns nothing of what a good request looks like",
        lambda method: not method.client_streaming,
    ),
    StageRule(
        "idempotency",
        "last: only a call that would have been served is looked up, under its own principal",
        lambda method: method.keyed,
    ),
)
"""The order of the stages, outermost first. A test asserts it."""


@dataclass(frozen=True)
class PipelineCompiler:
    """Builds the pipeline of each method once.

    Args:
        metrics: What is counted.
        verifier: Verifies access tokens.
        look_up: Finds first answers; None in a process without keyed methods.
    """

    metrics: Metrics
    verifier: TokenVerifier
    look_up: LookUp | None = None

    def compile(self, policy: MethodPolicy, behaviour: Next) -> Next:
        """Wraps a method's behaviour into its stages."""
        builders = self._builders()
        proceed = behaviour
        for rule in reversed(STAGES):
            if rule.wanted(policy):
                proceed = builders[rule.name](policy, proceed)
        return proceed

    def _builders(self) -> Mapping[str, Stage]:
        builders: dict[str, Stage] = {
            "tracing": trace_stage,
            "metrics": metrics_stage(self.metrics),
            "access_log": access_log_stage,
            "errors": errors_stage(self.metrics),
            "deadline": deadline_stage,
            "authentication": authentication_stage(self.verifier),
            "authorization": authorization_stage,
            "validation": validation_stage,
        }
        if self.look_up is not None:
            builders["idempotency"] = idempotency_stage(self.look_up, self.metrics)
        return builders


def stages_of(policy: MethodPolicy) -> tuple[str, ...]:
    """The names of the stages a method has, outermost first."""
    return tuple(rule.name for rule in STAGES if rule.wanted(policy))
