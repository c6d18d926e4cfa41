"""Every Envoy configuration in the tree, parsed strictly into the protos of the Envoy that will read it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pool, json_format

from cli.local.binaries import envoy
from gateway.discovery import answer
from gateway.runtime import cluster_runtime
from mesh.policy import load_policy
from tests.mesh.envoy_protos import parse_strictly, read_descriptors

GENERATED = Path(__file__).parents[2] / "generated" / "envoy"
CONFIGURATIONS = sorted(GENERATED.rglob("*.yaml"))


@pytest.fixture(scope="module")
def pool() -> descriptor_pool.DescriptorPool:
    return read_descriptors(Path(envoy(None)))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.relative_to(GENERATED).as_posix())
def test_every_field_of_a_configuration_is_one_that_envoy_knows(
    path: Path, pool: descriptor_pool.DescriptorPool
) -> None:
    parse_strictly(yaml.safe_load(path.read_text(encoding="utf-8")), pool)


def test_what_the_edge_answers_itself_is_a_filter_that_envoy_knows(pool: descriptor_pool.DescriptorPool) -> None:
    parse_strictly(answer(cluster_runtime(load_policy().workloads), '{"keys": []}'), pool)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda router: router.update(suppress_envoy_header=True),
        lambda router: router.update(suppress_envoy_headers="perhaps"),
        lambda router: router.update({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v4.Router"}),
    ],
    ids=["an unknown field", "a wrong type", "an unknown message"],
)
def test_a_slip_deep_inside_a_typed_config_is_found(break_it: Any, pool: descriptor_pool.DescriptorPool) -> None:
    config = copy.deepcopy(yaml.safe_load((GENERATED / "edge.yaml").read_text(encoding="utf-8")))
    listener = config["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    router = manager["http_filters"][-1]["typed_config"]
    parse_strictly(config, pool)

    break_it(router)

    with pytest.raises(json_format.ParseError):
        parse_strictly(config, pool)
