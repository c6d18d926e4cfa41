"""What is emitted: the same bytes for the same contract, accepted by Envoy, and leading only to what is exposed."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from cli.local.binaries import envoy
from gateway.clusters import NOWHERE, PAGE
from gateway.contract import ContractError, read_surface
from gateway.edge import GENERATED, bootstrap, emit, render
from gateway.runtime import PORTAL, Address, EdgeRuntime, cluster_runtime
from mesh.policy import DESCRIPTORS, Audience
from mesh.tuning import load_tuning
from tests.gateway.edges import edge_runtime, routes_of, write_secrets
from tests.gateway.neighbours import policy
from zoco.mesh.v1 import policy_pb2

PORTAL_PATHS = {
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}
PAGES = {
    *("/", "/docs", "/status", "/openapi.json", "/healthz"),
    *("/portal/portal.css", "/portal/portal.js", "/portal/docs.js"),
    *("/portal/swagger-ui.css", "/portal/swagger-ui-bundle.js"),
}


@pytest.fixture
def descriptors() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


@pytest.fixture
def runtime(pki: Path, tmp_path: Path) -> EdgeRuntime:
    addresses = {name: [f"127.0.0.1:{port}"] for port, name in enumerate([*policy().workloads, PORTAL], start=5001)}
    return edge_runtime(pki, addresses, "127.0.0.1:5100", tmp_path)


def test_the_same_contract_gives_the_same_bytes(descriptors: FileDescriptorSet) -> None:
    first = emit(descriptors)
    shuffled = FileDescriptorSet()
    shuffled.file.extend(reversed(descriptors.file))
    assert emit(shuffled) == first
    secrets = {"edge/certificate.yaml", "edge/authority.yaml", "edge-tls/certificate.yaml"}
    assert first.keys() == {GENERATED, *(f"envoy/sds/{name}" for name in secrets)}


@pytest.mark.parametrize("environment", ["dev", "production"])
def test_envoy_accepts_it(runtime: EdgeRuntime, tmp_path: Path, environment: Any) -> None:
    path = tmp_path / "edge.yaml"
    collector = replace(runtime, environment=environment, trace_collector="collector:4317", trusted_hops=1)
    path.write_text(render(collector))
    write_secrets(collector, tmp_path)
    done = subprocess.run(
        [str(envoy(None)), "--mode", "validate", "--config-path", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stdout + done.stderr
    assert "deprecated" not in done.stderr.lower()


def test_routes_lead_to_exposed_methods_and_nothing_else(runtime: EdgeRuntime) -> None:
    led = {}
    for route in _routes(yaml.safe_load(render(runtime))):
        cluster = route.get("route", {}).get("cluster", NOWHERE)
        if cluster != NOWHERE:
            led[route["match"]["path"]] = cluster
    exposed = {
        method.path: method.workload for method in policy().methods.values() if method.audience is not Audience.NONE
    }
    assert led == exposed | dict.fromkeys(PORTAL_PATHS, PORTAL) | dict.fromkeys(PAGES, PAGE)


def test_each_method_has_its_deadline(runtime: EdgeRuntime) -> None:
    deadlines = {
        route["match"]["path"]: route["route"]["max_stream_duration"]["max_stream_duration"]
        for route in _routes(yaml.safe_load(render(runtime)))
        if "max_stream_duration" in route.get("route", {})
    }
    for method in policy().methods.values():
        if method.audience is not Audience.NONE:
            assert float(deadlines[method.path].removesuffix("s")) == method.deadline.total_seconds()


def test_production_has_no_reflection_and_only_it_binds_browsers_to_tls(runtime: EdgeRuntime) -> None:
    dev, production = render(runtime), render(replace(runtime, environment="production"))
    assert "grpc.reflection" in dev
    assert "grpc.reflection" not in production
    assert "strict-transport-security" not in dev
    assert production.count("strict-transport-security") == 1


def test_every_workload_is_reached_by_mutual_tls_under_its_own_identity(runtime: EdgeRuntime) -> None:
    clusters = {each["name"]: each for each in yaml.safe_load(render(runtime))["static_resources"]["clusters"]}
    for name in [*policy().workloads, PORTAL, PAGE]:
        tls = clusters[name]["transport_socket"]["typed_config"]["common_tls_context"]
        (san,) = tls["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
        assert san == {"san_type": "URI", "matcher": {"exact": f"spiffe://zoco.local/{name.removesuffix('-page')}"}}
        assert tls["tls_certificate_sds_secret_configs"]


def test_in_a_cluster_workloads_are_names_and_on_one_machine_addresses(runtime: EdgeRuntime) -> None:
    surface = read_surface(FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()))
    for description, kind in ((runtime, "STATIC"), (cluster_runtime(surface.workloads), "STRICT_DNS")):
        config = bootstrap(description, surface, load_tuning())
        kinds = {each["name"]: each["type"] for each in config["static_resources"]["clusters"]}
        assert {kinds[name] for name in surface.workloads} == {kind}


def test_an_unreachable_workload_an_open_admin_page_and_tls_without_a_certificate_are_refused(
    runtime: EdgeRuntime,
) -> None:
    addresses = {name: each for name, each in runtime.workloads.items() if name != "order"}
    with pytest.raises(ContractError, match="order"):
        render(replace(runtime, workloads=addresses))
    with pytest.raises(ValueError, match="loopback"):
        replace(runtime, admin=Address("192.0.2.1", 9901))
    with pytest.raises(ValueError, match="certificate"):
        replace(runtime, files=replace(runtime.files, public=None))
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse("order")
    assert Address.parse("[::1]:80") == Address("::1", 80)


def test_a_hidden_method_has_no_way_in_whatever_rest_rule_it_has(descriptors: FileDescriptorSet) -> None:
    """The lint hidden-route refuses such a contract; the edge would not serve it either."""
    get_order = re.compile(rb"OrderService/GetOrder\b")
    assert get_order.search(emit(descriptors)[GENERATED])
    for file in descriptors.file:
        for service in file.service:
            for method in service.method:
                if method.name == "GetOrder":
                    method.options.Extensions[policy_pb2.method].access.edge = policy_pb2.EDGE_AUDIENCE_NONE
    assert not get_order.search(emit(descriptors)[GENERATED])


def _routes(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for listener in config["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        for host in manager["route_config"]["virtual_hosts"]:
            # What clients may use, and the way to the keys of tokens.
            yield from routes_of(host) if "matcher" in host else host["routes"]
