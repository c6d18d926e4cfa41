"""What the configuration makes of the policy: filters in their order, limits, roles, certificates that rotate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.authentication import JWT, KEYS_DELAY, KEYS_LIFE, discovered
from gateway.authorization import RBAC
from gateway.edge import GENERATED, emit
from gateway.filters import FILTERS
from gateway.portal.assets import PAGES
from gateway.runtime import cluster_runtime
from mesh.compiler import CompileError
from mesh.policy import DESCRIPTORS, Audience, LimitKey
from mesh.tuning import ProfileName, load_tuning
from services.user.settings import UserSettings
from tests.gateway.edges import managers, routes_of
from tests.gateway.neighbours import policy
from zoco.mesh.v1 import policy_pb2

EXPOSED = [method for method in policy().methods.values() if method.audience is not Audience.NONE]


@pytest.fixture(scope="module")
def descriptors() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


@pytest.fixture(scope="module")
def emitted(descriptors: FileDescriptorSet) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(emit(descriptors)[GENERATED])
    return config


def test_filters_stand_in_the_order_of_their_reasons(emitted: dict[str, Any]) -> None:
    order = [rule.name for rule in FILTERS]
    assert order == [
        "envoy.filters.http.health_check",
        "envoy.filters.http.cors",
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.compressor",
        "rate limit by address",
        "envoy.filters.http.jwt_authn",
        "rate limit by subject",
        "envoy.filters.http.body_size_limit",
        "envoy.filters.http.lua",
        "envoy.filters.http.grpc_web",
        "envoy.filters.http.grpc_json_transcoder",
        "envoy.filters.http.rbac",
        "envoy.filters.http.router",
    ]
    assert all(rule.reason for rule in FILTERS)
    for manager in managers(emitted):
        assert [each["name"] for each in manager["http_filters"]] == order


def test_each_limit_of_the_contract_has_its_bucket(emitted: dict[str, Any]) -> None:
    profile: ProfileName = "production"
    for manager in managers(emitted):
        buckets = dict(_buckets(manager))
        for method in EXPOSED:
            for limit in method.rate_limits:
                rate = load_tuning().rate(limit, profile)
                bucket = buckets[limit.tier, limit.by]
                assert bucket["max_tokens"] == bucket["tokens_per_fill"] == rate.requests
                assert float(bucket["fill_interval"].removesuffix("s")) == rate.per.total_seconds()


def test_every_route_of_a_method_says_in_which_tier_it_counts_and_whether_it_wants_a_token(
    emitted: dict[str, Any],
) -> None:
    manager = next(managers(emitted))
    routes = {each.get("name"): each for host in manager["route_config"]["virtual_hosts"] for each in routes_of(host)}
    for method in EXPOSED:
        names = [method.path.removeprefix("/"), *(f"{route.verb} {route.path}" for route in method.routes)]
        for name in names:
            route = routes[name]
            tiers = {limit.by.name: limit.tier for limit in method.rate_limits}
            assert route["metadata"]["filter_metadata"]["zoco.limits"] == tiers
            wanted = "optional" if method.audience is Audience.PUBLIC else "required"
            assert route["typed_per_filter_config"][JWT]["requirement_name"] == wanted


def test_only_routes_that_lead_nowhere_escape_the_rule_table(emitted: dict[str, Any]) -> None:
    manager = next(managers(emitted))
    for host in manager["route_config"]["virtual_hosts"]:
        for route in routes_of(host):
            assert (RBAC in route.get("typed_per_filter_config", {})) == ("direct_response" in route)


def test_every_exposed_method_stands_in_the_rule_table_once_and_no_hidden_one_does(emitted: dict[str, Any]) -> None:
    for manager in managers(emitted):
        (rbac,) = [each["typed_config"] for each in manager["http_filters"] if each["name"] == RBAC]
        assert rbac["rules"]["action"] == "ALLOW"
        listed = {
            name: [each["url_path"]["path"]["exact"] for each in each["permissions"]]
            for name, each in rbac["rules"]["policies"].items()
        }
        assert set(listed.pop("portal")) == {"/healthz", "/grpc.health.v1.Health/Check", *PAGES}
        for audience in (Audience.PUBLIC, Audience.USER, Audience.ADMIN):
            assert sorted(listed.pop(audience.name.lower())) == sorted(
                method.path for method in EXPOSED if method.audience is audience
            )
        assert not listed


def test_no_more_clients_are_counted_than_there_is_room_for(emitted: dict[str, Any]) -> None:
    for manager in managers(emitted):
        configs = [each["typed_config"] for each in manager["http_filters"] if each["name"] != JWT]
        rooms = [each["max_dynamic_descriptors"] for each in configs if "rate_limits" in each]
        assert rooms == [load_tuning().rate_limits.max_keys] * 2


def test_a_key_is_known_here_long_before_it_signs() -> None:
    lead = UserSettings.model_fields["signing_key_lead_seconds"].default
    assert 2 * KEYS_LIFE.total_seconds() <= lead
    assert 3 * 2 * KEYS_DELAY <= KEYS_LIFE, "also where two questions are not answered"


def test_only_a_filter_that_has_its_keys_inside_remembers_tokens(emitted: dict[str, Any]) -> None:
    """Envoy forgets no token when keys that it fetches change. A filter with other keys is another filter."""
    for manager in managers(emitted):
        (first,) = (each["config_discovery"] for each in manager["http_filters"] if each["name"] == JWT)
        (fetching,) = first["default_config"]["providers"].values()
        assert "remote_jwks" in fetching
        assert "jwt_cache_config" not in fetching
        (remembering,) = discovered(cluster_runtime(policy().workloads), "{}")["typed_config"]["providers"].values()
        assert remembering["local_jwks"] == {"inline_string": "{}"}
        assert "remote_jwks" not in remembering
        different = {"remote_jwks", "local_jwks", "jwt_cache_config"}
        assert {name: fetching[name] for name in fetching.keys() - different} == {
            name: remembering[name] for name in remembering.keys() - different
        }


@pytest.mark.parametrize(
    ("by", "requests", "says"),
    [
        (policy_pb2.RATE_LIMIT_KEY_IP, 7, r"the tier public_read is one bucket"),
        (policy_pb2.RATE_LIMIT_KEY_SUBJECT, 50, r"two rate limits by the same thing"),
    ],
)
def test_a_tier_that_two_rpcs_mean_differently_does_not_compile(
    descriptors: FileDescriptorSet, by: Any, requests: int, says: str
) -> None:
    broken = FileDescriptorSet.FromString(descriptors.SerializeToString())
    limit = _options(broken, "GetOrder").rate_limit.add(by=by, requests=requests, tier="public_read")
    limit.per.seconds = 1
    with pytest.raises(CompileError, match=rf"/zoco\.\S+: .*{says}"):
        emit(broken)


def test_a_contract_that_names_no_source_of_keys_does_not_compile(descriptors: FileDescriptorSet) -> None:
    broken = FileDescriptorSet.FromString(descriptors.SerializeToString())
    _options(broken, "GetJwks").token_keys = False
    with pytest.raises(CompileError, match="token_keys"):
        emit(broken)


def test_certificates_are_watched_files(descriptors: FileDescriptorSet) -> None:
    secrets = {Path(name): yaml.safe_load(text) for name, text in emit(descriptors).items() if "/sds/" in name}
    assert len(secrets) == 3
    for file in secrets.values():
        (secret,) = file["resources"]
        content = secret.get("tls_certificate") or secret["validation_context"]
        directory = content["watched_directory"]["path"]
        named = [value["filename"] for value in content.values() if "filename" in value]
        assert named
        assert all(Path(name).parent == Path(directory) for name in named)


def _options(descriptors: FileDescriptorSet, name: str) -> Any:
    for file in descriptors.file:
        for service in file.service:
            for method in service.method:
                if method.name == name:
                    return method.options.Extensions[policy_pb2.method]
    raise LookupError(name)


def _buckets(manager: dict[str, Any]) -> Iterator[tuple[tuple[str, LimitKey], dict[str, Any]]]:
    for each in manager["http_filters"]:
        for descriptor in each.get("typed_config", {}).get("descriptors", ()):
            first = descriptor["entries"][0]
            yield (first["value"], LimitKey[first["key"]]), descriptor["token_bucket"]
