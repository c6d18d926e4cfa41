"""What is derived for Python and gRPC says what the contracts say."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler.policy_table import PATH, emit, render
from mesh.compiler.service_configs import emit as emit_configs
from mesh.policy import DESCRIPTORS, MethodPolicy, Policy, load_policy, read_policy
from mesh.service_config import service_config
from mesh.tuning import load_tuning
from tests.mesh.probe import ProbeContract

GENERATED = DESCRIPTORS.parent


def descriptors(path: Path = DESCRIPTORS) -> FileDescriptorSet:
    return FileDescriptorSet.FromString(path.read_bytes())


def executed(source: str) -> Policy:
    module = ModuleType("table")
    exec(source, module.__dict__)  # noqa: S102 - what was just rendered, to see what it means
    made: Policy = module.policy()
    return made


def test_the_table_is_what_the_descriptors_say() -> None:
    assert load_policy() == read_policy(descriptors())


def test_a_process_needs_no_descriptor_set_to_know_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise AssertionError("the descriptor set was read")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert load_policy().methods


def test_the_committed_table_is_the_emitted_one() -> None:
    assert (GENERATED / PATH).read_bytes() == emit(descriptors())[PATH]


def test_whatever_a_contract_says_comes_back_from_the_table(contract: ProbeContract) -> None:
    policy = read_policy(descriptors(contract.descriptors))
    assert executed(render(policy)) == policy


def test_the_table_is_rendered_alike_every_time() -> None:
    policy = read_policy(descriptors())
    turned = Policy(dict(reversed(list(policy.methods.items()))), policy.workloads, policy.token_keys, policy.clients)
    assert render(turned) == render(policy)


def test_every_workload_has_the_service_config_that_its_callers_use() -> None:
    policy, retry = load_policy(), load_tuning().retry
    files = emit_configs(descriptors())
    assert set(files) == {f"grpc/{workload}.json" for workload in policy.workloads}
    for workload in policy.workloads:
        config = json.loads((GENERATED / "grpc" / f"{workload}.json").read_bytes())
        assert config == service_config(policy, workload, retry)


def test_a_service_config_retries_what_the_contract_says_and_sets_no_timeout() -> None:
    policy = load_policy()
    for workload in policy.workloads:
        text = (GENERATED / "grpc" / f"{workload}.json").read_text()
        assert "timeout" not in text.lower()
        retried = {entry["name"][0]["method"]: entry["retryPolicy"] for entry in json.loads(text)["methodConfig"]}
        for method in policy.of_workload(workload):
            assert _attempts(method) == (retried[method.name]["maxAttempts"] if method.name in retried else 1)


def _attempts(method: MethodPolicy) -> int:
    return method.retry.max_attempts if method.retry else 1


def test_the_numbers_of_retries_come_from_the_tuning() -> None:
    tuned = load_tuning().retry.model_copy(update={"multiplier": 3.0, "budget_percent": 25, "throttle_tokens": 10})
    config = service_config(load_policy(), "payment", tuned)
    assert config["retryThrottling"] == {"maxTokens": 10, "tokenRatio": 0.25}
    assert {entry["retryPolicy"]["backoffMultiplier"] for entry in config["methodConfig"]} == {3.0}
    assert {entry["retryPolicy"]["initialBackoff"] for entry in config["methodConfig"]} == {"0.05s"}


def test_who_calls_what_is_declared_or_follows_from_tokens() -> None:
    policy = load_policy()
    keys = "/zoco.user.v1.AuthService/GetJwks"
    assert policy.calls_of("payment") == {keys}
    assert policy.calls_of("user") == set()
    assert policy.calls_of("portal") == {keys}
    assert {keys, "/zoco.payment.v1.PaymentService/Capture"} < policy.calls_of("order")
