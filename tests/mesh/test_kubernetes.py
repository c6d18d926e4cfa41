"""The cluster's documents let through what the contract allows, by exactly one rule, and nothing else."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler.kubernetes import emit
from mesh.decision import Identity, Rule, TokenState, decide
from mesh.policy import DESCRIPTORS, Audience, MethodPolicy, Policy, load_policy, read_policy
from mesh.tuning import load_tuning
from tests.mesh.kubernetes_evaluators import AuthorizationPolicies, NetworkPolicies, Pod
from zoco.mesh.v1 import policy_pb2

POLICY = load_policy()
INSIDE = sorted(POLICY.workloads)
PODS = {name: Pod({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "zoco"}) for name in INSIDE}
PODS |= {
    name: Pod({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "zoco"}) for name in ("edge", "portal")
}
OTHERS = {
    "database": Pod({"cnpg.io/cluster": "zoco"}),
    "broker": Pod({"app.kubernetes.io/name": "nats"}),
    "intruder": Pod({"app.kubernetes.io/name": "intruder"}),
    # Named like one of ours, but not one of ours: labels are not enough to cross namespaces.
    "namesake": Pod({"app.kubernetes.io/name": "order", "app.kubernetes.io/part-of": "zoco"}, namespace="elsewhere"),
    "scraper": Pod({"app.kubernetes.io/name": "prometheus"}, namespace="monitoring"),
    "resolver": Pod({"k8s-app": "kube-dns"}, namespace="kube-system"),
}
# A pod of ours that no policy names yet: it may resolve names and be scraped, until somebody says more.
NEWCOMER = {"newcomer": Pod({"app.kubernetes.io/name": "newcomer", "app.kubernetes.io/part-of": "zoco"})}
PORTS = (50051, 9101, 8080, 8443, 5432, 4222, 53, 22)


def descriptors() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


def documents(name: str, contracts: FileDescriptorSet | None = None) -> list[Any]:
    return list(yaml.safe_load_all(emit(contracts or descriptors())[name]))


@pytest.fixture(scope="module")
def network() -> NetworkPolicies:
    return NetworkPolicies(documents("kubernetes/network-policies.yaml"))


@pytest.fixture(scope="module")
def authorization() -> AuthorizationPolicies:
    return AuthorizationPolicies(documents("istio/authorization-policies.yaml"))


def declared_connections() -> set[tuple[str, str, int]]:
    """Who opens connections to whom, told from the contract once more and in another way than the emitter does."""
    found = {("edge", "portal", 50051), ("edge", "portal", 8080)}
    found |= {("portal", name, 50051) for name in INSIDE}
    for method in POLICY.methods.values():
        if method.audience is not Audience.NONE:
            found.add(("edge", method.workload, 50051))
        found |= {(method.workload, POLICY.methods[f"/{path}"].workload, 50051) for path in method.calls}
        if method.token_keys:
            found |= {(caller, method.workload, 50051) for caller in method.callers}
    for workload in POLICY.workloads.values():
        found |= {(workload.name, POLICY.methods[f"/{path}"].workload, 50051) for path in workload.calls}
        found |= {(workload.name, "database", 5432), (workload.name, "broker", 4222)}
    found |= {("scraper", name, 9101) for name in (*INSIDE, "portal", "newcomer")}
    found |= {(name, "resolver", 53) for name in (*PODS, "newcomer")}
    outside = ("intruder", "namesake", "scraper", "database", "broker", "resolver")
    return found | {(name, "edge", port) for name in outside for port in (8080, 8443)}


def test_the_network_lets_through_the_call_graph_and_nothing_else(network: NetworkPolicies) -> None:
    ours = PODS | NEWCOMER
    everybody = ours | OTHERS
    tried = [
        (source, target, port)
        for source, target, port in product(everybody, everybody, PORTS)
        if source in ours or target in ours
    ]

    allowed = {each for each in tried if network.allow(everybody[each[0]], everybody[each[1]], each[2])}

    assert allowed == declared_connections()


def test_a_workload_that_may_be_called_can_be_reached(network: NetworkPolicies) -> None:
    for method in POLICY.methods.values():
        for caller in method.callers:
            assert network.allow(PODS[caller], PODS[method.workload], 50051), f"{caller} cannot reach {method.path}"


def test_names_are_resolved_over_both_protocols_and_nothing_else_is_udp(network: NetworkPolicies) -> None:
    assert network.allow(PODS["order"], OTHERS["resolver"], 53, "UDP")
    assert not network.allow(PODS["order"], PODS["payment"], 50051, "UDP")


def identities() -> Iterator[tuple[str | None, str]]:
    """Workloads as the policy names them, with the identity that Istio would see."""
    for name in (*INSIDE, "edge", "portal"):
        yield name, f"zoco.local/ns/zoco/sa/{name}"
    yield "stranger", "zoco.local/ns/zoco/sa/stranger"
    yield None, ""
    yield None, "zoco.local/ns/elsewhere/sa/order"
    yield None, "other.example/ns/zoco/sa/order"


@pytest.mark.parametrize("method", POLICY.methods.values(), ids=lambda method: method.path)
def test_istio_allows_a_method_by_exactly_one_rule_to_whom_the_contract_does(
    method: MethodPolicy, authorization: AuthorizationPolicies
) -> None:
    target = PODS[method.workload].labels
    for workload, principal in identities():
        known = Identity(workload, TokenState.VALID, role="ADMIN")
        expected = decide(method, known, rules=(Rule.EXPOSURE, Rule.CALLER)).allowed
        rules = authorization.allowing(target, principal, "POST", method.path, 50051)
        assert rules == (1 if expected else 0), f"{principal} is allowed {method.path} by {rules} rules"


@pytest.mark.parametrize(
    ("method", "path", "port"),
    [
        ("GET", "/zoco.payment.v1.PaymentService/Capture", 50051),
        ("POST", "/zoco.payment.v1.PaymentService/Capture", 9101),
        ("POST", "/zoco.payment.v1.PaymentService/capture", 50051),
        ("POST", "/zoco.payment.v1.PaymentService/Capture/", 50051),
        ("POST", "/zoco.payment.v1.PaymentService/*", 50051),
        ("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 50051),
        ("POST", "/grpc.channelz.v1.Channelz/GetTopChannels", 50051),
    ],
)
def test_istio_denies_what_no_contract_names(
    method: str, path: str, port: int, authorization: AuthorizationPolicies
) -> None:
    order = "zoco.local/ns/zoco/sa/order"

    assert authorization.allowing(
        PODS["payment"].labels, order, "POST", "/zoco.payment.v1.PaymentService/Capture", 50051
    )
    assert not authorization.allowing(PODS["payment"].labels, order, method, path, port)


def test_a_caller_may_ask_for_health_and_nobody_else_may(authorization: AuthorizationPolicies) -> None:
    def asks(caller: str) -> int:
        principal = f"zoco.local/ns/zoco/sa/{caller}"
        return authorization.allowing(PODS["payment"].labels, principal, "POST", "/grpc.health.v1.Health/Watch", 50051)

    assert {name for name in PODS if asks(name)} == {"edge", "portal", "order"}


def test_everybody_reaches_the_edges_public_ports_and_no_other_port_of_it(authorization: AuthorizationPolicies) -> None:
    edge = PODS["edge"].labels

    assert [authorization.allowing(edge, "", "GET", "/v1/products", port) for port in (8080, 8443)] == [1, 1]
    assert not authorization.allowing(edge, "", "GET", "/stats", 9901)


def test_nobody_but_the_edges_public_ports_takes_plaintext() -> None:
    default, edge = documents("istio/peer-authentications.yaml")

    assert default["spec"] == {"mtls": {"mode": "STRICT"}}
    assert edge["spec"]["mtls"] == {"mode": "STRICT"}
    assert edge["spec"]["selector"]["matchLabels"] == PODS["edge"].labels
    assert edge["spec"]["portLevelMtls"].keys() == {"8080", "8443"}


def test_every_workload_is_called_over_mtls_with_the_numbers_of_the_tuning() -> None:
    tuning = load_tuning()
    rules = documents("istio/destination-rules.yaml")

    assert {each["spec"]["host"] for each in rules} == {
        f"{name}.zoco.svc.cluster.local" for name in (*INSIDE, "portal")
    }
    for each in rules:
        policy = each["spec"]["trafficPolicy"]
        assert policy["tls"] == {"mode": "ISTIO_MUTUAL"}
        assert policy["connectionPool"]["http"]["http2MaxRequests"] == tuning.breakers.max_requests
        assert policy["outlierDetection"]["baseEjectionTime"] == f"{tuning.ejection.base_time.total_seconds():g}s"
        assert policy["outlierDetection"]["consecutiveGatewayErrors"] == tuning.ejection.consecutive_gateway_failure


def test_istio_repeats_no_call_since_callers_do() -> None:
    services = documents("istio/virtual-services.yaml")

    assert len(services) == len(INSIDE) + 1
    assert all(route["retries"] == {"attempts": 0} for each in services for route in each["spec"]["http"])


def test_the_catalog_tells_the_chart_what_to_run_and_whom_each_calls() -> None:
    (values,) = documents("helm/catalog.yaml")
    workloads = values["catalog"]["workloads"]

    assert workloads.keys() == POLICY.workloads.keys()
    for name, workload in workloads.items():
        assert workload["services"] == list(POLICY.workloads[name].services)
        assert {(name, callee, 50051) for callee in workload["calls"]} <= declared_connections()
        assert {(caller, name, 50051) for caller in workload["callers"]} <= declared_connections()
    order = workloads["order"]
    assert order["calls"] == ["inventory", "payment", "product", "user"]
    assert (order["ports"], order["database"], order["broker"]) == ({"grpc": 50051, "metrics": 9101}, True, True)


def test_a_caller_taken_out_of_the_contract_is_taken_out_of_every_document() -> None:
    contracts = descriptors()
    for service in (service for file in contracts.file for service in file.service):
        for method in service.method:
            options = method.options.Extensions[policy_pb2.method]
            if "order" in options.access.callers:
                options.access.callers.remove("order")
            del options.calls[:]
        if service.options.Extensions[policy_pb2.service].workload == "order":
            del service.options.Extensions[policy_pb2.service].calls[:]
    cut: Policy = read_policy(contracts)
    assert not any("order" in method.callers for method in cut.methods.values())

    network = NetworkPolicies(documents("kubernetes/network-policies.yaml", contracts))
    authorization = AuthorizationPolicies(documents("istio/authorization-policies.yaml", contracts))

    for name in INSIDE:
        assert not network.allow(PODS["order"], PODS[name], 50051), name
        for method_policy in POLICY.of_workload(name):
            order = "zoco.local/ns/zoco/sa/order"
            assert not authorization.allowing(PODS[name].labels, order, "POST", method_policy.path, 50051)
