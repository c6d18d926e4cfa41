"""What is emitted for sidecars: the same bytes for the same contract, accepted by Envoy, no more than the contract."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from cli.local.binaries import envoy
from gateway.sidecar.bootstrap import GENERATED, bootstrap, emit, render
from gateway.sidecar.outbound import neighbours
from gateway.sidecar.runtime import SidecarRuntime, cluster_runtime
from mesh.compiler import CompileError
from mesh.policy import DESCRIPTORS, Audience
from mesh.tuning import load_tuning
from tests.gateway.neighbours import policy
from tests.gateway.sidecars import inner_identities, sidecar_runtime, write_secrets
from zoco.mesh.v1 import policy_pb2

WORKLOADS = sorted(policy().workloads)
RBAC = "envoy.filters.http.rbac"


@pytest.fixture
def descriptors() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


def emitted(workload: str) -> dict[str, Any]:
    """The configuration of a cluster, before it becomes YAML."""
    return bootstrap(cluster_runtime(workload, neighbours(policy(), workload)), policy(), load_tuning())


def manager(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The HTTP connection manager of a listener."""
    listener = next(each for each in config["static_resources"]["listeners"] if each["name"] == name)
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def routes(config: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manager(config, name)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def test_the_same_contract_gives_the_same_bytes(descriptors: FileDescriptorSet) -> None:
    first = emit(descriptors)
    shuffled = FileDescriptorSet()
    shuffled.file.extend(reversed(descriptors.file))

    assert emit(shuffled) == first
    secrets = {"mesh/certificate", "mesh/authority"}
    assert first.keys() == {f"{GENERATED}/{name}.yaml" for name in {*WORKLOADS, *secrets}}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_envoy_accepts_it(pki: Path, tmp_path: Path, workload: str) -> None:
    runtime = sidecar_runtime(workload, pki, inner_identities(tmp_path, workload), tmp_path)
    write_secrets(runtime)
    path = tmp_path / "envoy.json"
    path.write_text(render(runtime, policy()))

    done = subprocess.run(
        [str(envoy(None)), "--mode", "validate", "--config-path", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


@pytest.mark.parametrize("workload", WORKLOADS)
def test_who_may_call_is_the_contracts_list_and_the_rest_is_denied(workload: str) -> None:
    config = emitted(workload)
    rules = next(each for each in manager(config, "inbound")["http_filters"] if each["name"] == RBAC)["typed_config"]
    assert rules["rules"]["action"] == "ALLOW"
    policies = rules["rules"]["policies"]
    for method in policy().of_workload(workload):
        outside = {"edge"} if method.audience is not Audience.NONE else set()
        names = {
            each["authenticated"]["principal_name"]["exact"].rpartition("/")[2]
            for each in policies.get(method.path, {"principals": []})["principals"]
        }
        assert names == method.callers | outside, method.path
    anybody = {path for path, each in policies.items() if each["principals"] == [{"any": True}]}
    assert anybody == {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
    assert {each["route"]["cluster"] for each in routes(config, "inbound")} == {"service"}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_whom_it_may_call_is_the_call_graph(workload: str) -> None:
    *calls, last = routes(emitted(workload), "outbound")

    assert {each["match"]["path"] for each in calls} == policy().calls_of(workload)
    assert last["direct_response"] == {"status": 403}
    for each in calls:
        method = policy().methods[each["match"]["path"]]
        attempts = method.retry.max_attempts if method.retry else 1
        retry = each["route"]["retry_policy"]
        assert ("unavailable" in retry["retry_on"]) == (attempts > 1)
        if attempts > 1:
            assert retry["num_retries"] == attempts - 1
        assert each["route"]["max_stream_duration"]["max_stream_duration"] == f"{method.deadline.total_seconds():g}s"


def test_the_numbers_are_the_tunings() -> None:
    tuning = load_tuning()
    clusters = {each["name"]: each for each in emitted("order")["static_resources"]["clusters"]}
    limits = clusters["payment"]["circuit_breakers"]["thresholds"][0]

    assert limits["max_requests"] == tuning.breakers.max_requests
    assert limits["retry_budget"] == {
        "budget_percent": {"value": float(tuning.retry.budget_percent)},
        "min_retry_concurrency": tuning.retry.min_concurrency,
    }
    ejection = clusters["payment"]["outlier_detection"]
    assert ejection["consecutive_gateway_failure"] == tuning.ejection.consecutive_gateway_failure
    # There is one service behind a sidecar: nobody to turn to, and nothing that was served may be served twice.
    assert "outlier_detection" not in clusters["service"]
    assert all("retry_policy" not in each["route"] for each in routes(emitted("order"), "inbound"))


def test_a_code_that_envoy_cannot_repeat_is_refused_by_name(descriptors: FileDescriptorSet) -> None:
    path = "zoco.payment.v1.PaymentService"
    service = next(each for file in descriptors.file for each in file.service if f"{file.package}.{each.name}" == path)
    method = next(each for each in service.method if each.name == "Capture")
    method.options.Extensions[policy_pb2.method].retry.codes.append("DATA_LOSS")

    with pytest.raises(
        CompileError, match=r"/zoco\.payment\.v1\.PaymentService/Capture: Envoy cannot repeat DATA_LOSS"
    ):
        emit(descriptors)


def test_a_neighbour_without_an_address_is_named(pki: Path, tmp_path: Path) -> None:
    complete = sidecar_runtime("order", pki, tmp_path, tmp_path)
    without = SidecarRuntime(**{**vars(complete), "neighbours": {}})

    with pytest.raises(ValueError, match="no address for the workload inventory"):
        render(without, policy())


@pytest.mark.parametrize("name", ["service", "outbound", "admin"])
def test_what_is_inside_stays_on_loopback(pki: Path, tmp_path: Path, name: str) -> None:
    complete = sidecar_runtime("order", pki, tmp_path, tmp_path)

    with pytest.raises(ValueError, match=f"The sidecar's {name} address must be a loopback address"):
        SidecarRuntime(**{**vars(complete), name: complete.public.parse("10.0.0.1:5")})
