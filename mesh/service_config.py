"""The gRPC service config with which a workload is called: round robin, health checks, retries within a budget."""

from collections.abc import Iterable, Mapping
from typing import Any

from mesh.policy import Audience, MethodPolicy, Policy
from mesh.tuning import RetryTuning
from mesh.wire import json_duration


def service_config(policy: Policy, workload: str, retry: RetryTuning) -> Mapping[str, Any]:
    """The service config for channels to a workload (https://github.com/grpc/grpc/blob/master/doc/service_config.md).

    It never holds a `timeout`: gRPC's own is broken in Python, so the interceptor of the channel sets deadlines.

    Args:
        policy: Says which methods are retried, on what and how often.
        workload: Who is called.
        retry: How repeats are spaced and bounded.
    """
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        **_repeats(policy.of_workload(workload), retry),
    }


def client_service_config(policy: Policy, retry: RetryTuning) -> Mapping[str, Any]:
    """The service config for clients outside, who call whatever is exposed through one address: the edge's.

    Args:
        policy: Says which methods are retried, on what and how often.
        retry: How repeats are spaced and bounded.
    """
    return _repeats((each for each in policy.methods.values() if each.audience is not Audience.NONE), retry)


def _repeats(methods: Iterable[MethodPolicy], retry: RetryTuning) -> Mapping[str, Any]:
    retried = sorted((method for method in methods if method.retry), key=lambda each: each.path)
    return {
        "retryThrottling": {"maxTokens": retry.throttle_tokens, "tokenRatio": retry.budget_percent / 100},
        "methodConfig": [_retried(method, retry) for method in retried],
    }


def _retried(method: MethodPolicy, tuning: RetryTuning) -> Mapping[str, Any]:
    attempts, codes = (method.retry.max_attempts, method.retry.codes) if method.retry else (1, ())
    return {
        "name": [{"service": method.service, "method": method.name}],
        "retryPolicy": {
            "maxAttempts": attempts,
            "initialBackoff": json_duration(tuning.initial_backoff),
            "maxBackoff": json_duration(tuning.max_backoff),
            "backoffMultiplier": tuning.multiplier,
            "retryableStatusCodes": list(codes),
        },
    }
