"""The Envoy edge out of the contract: `render` for one edge, `emit` for what stands in generated/."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.clusters import clusters
from gateway.contract import ContractError, Surface, read_surface
from gateway.identity import sds_files
from gateway.keys import keys_cluster, keys_listener
from gateway.limits import read_limits
from gateway.listeners import listeners
from gateway.overload import RUNTIME, overload_manager
from gateway.routes import virtual_host
from gateway.runtime import EdgeRuntime, cluster_runtime
from gateway.xds import Message, socket_address
from mesh.compiler import CompileError, Files
from mesh.policy import PolicyError
from mesh.tuning import Tuning, TuningError, load_tuning

GENERATED: Final = "envoy/edge.yaml"
"""Where the edge of a cluster goes under `generated/`."""

_SECRETS: Final = "envoy/sds"

_HEADER: Final = "# The public edge, as it runs in a cluster. Generated from protos/ by `make gen`. Do not edit.\n"


def bootstrap(runtime: EdgeRuntime, surface: Surface, tuning: Tuning) -> Message:
    """Give Envoy's whole configuration.

    Args:
        runtime: addresses, files and environment of this edge.
        surface: what the contract exposes.
        tuning: the numbers.

    Returns:
        An envoy.config.bootstrap.v3.Bootstrap in its JSON form.

    Raises:
        ContractError: the runtime has no address for a workload that the contract names, or a tier has two numbers.
        TuningError: the numbers lack a tier that the contract names.
    """
    if missing := sorted(surface.workloads - runtime.workloads.keys()):
        raise ContractError(f"The edge has no address for the workload {missing[0]}.")
    limits = read_limits(surface, tuning, runtime.environment)
    routes = {"name": "edge", "virtual_hosts": [virtual_host(runtime, surface, tuning)]}
    return {
        "node": {"id": "edge", "cluster": "edge"},
        "admin": {"address": socket_address(runtime.admin)},
        "layered_runtime": {"layers": [{"name": "edge", "static_layer": RUNTIME}]},
        "overload_manager": overload_manager(),
        "static_resources": {
            "listeners": [*listeners(runtime, surface, limits, routes), keys_listener(runtime, surface)],
            "clusters": [*clusters(runtime, tuning), keys_cluster(runtime)],
        },
    }


def render(runtime: EdgeRuntime, tuning: Tuning | None = None) -> str:
    """Give the configuration file of an edge, from the contract that `runtime.files.descriptors` holds.

    Args:
        runtime: addresses, files and environment of this edge.
        tuning: the numbers; those of mesh/tuning.yaml unless given.

    Returns:
        YAML, for `envoy --config-path`.

    Raises:
        ContractError: the contract asks for what the edge cannot serve.
        PolicyError: a contract leaves out what every contract must say.
        TuningError: the numbers lack a tier that the contract names.
        OSError: the descriptor set cannot be read.
    """
    descriptors = FileDescriptorSet.FromString(Path(runtime.files.descriptors).read_bytes())
    return _dump(bootstrap(runtime, read_surface(descriptors), tuning or load_tuning()))


def emit(descriptors: FileDescriptorSet) -> Files:
    """Emit the edge of a cluster; one of the compiler's emitters.

    Args:
        descriptors: the contracts with all they import.

    Returns:
        The files under `generated/`: its configuration and the SDS files that it reads.

    Raises:
        CompileError: the contract asks for what the edge cannot serve, or mesh/tuning.yaml breaks a rule.
    """
    try:
        surface = read_surface(descriptors)
        runtime = cluster_runtime(surface.workloads)
        files = {GENERATED: _dump(bootstrap(runtime, surface, load_tuning()))}
    except (ContractError, PolicyError, TuningError, ValueError) as error:
        raise CompileError(str(error)) from error
    files |= {f"{_SECRETS}/{path}": text for path, text in secret_files(runtime).items()}
    return {path: (_HEADER + text).encode() for path, text in files.items()}


def secret_files(runtime: EdgeRuntime) -> Mapping[str, str]:
    """Give the SDS files that the configuration refers to: what stands where on disk is watched and read again.

    Args:
        runtime: of this edge.

    Returns:
        YAML by path; the directories are those of `runtime.files`, of which the last name stands in the path.
    """
    identities = {runtime.files.identity: True}
    if runtime.files.public:
        identities[runtime.files.public] = False
    return {
        f"{PurePosixPath(identity.secrets).name}/{name}": text
        for identity, trusts in identities.items()
        if identity.secrets is not None
        for name, text in sds_files(identity, trusts=trusts).items()
    }


def _dump(config: Message) -> str:
    # Both listeners share one route table: YAML writes it once and refers to it.
    return yaml.safe_dump(config, sort_keys=False, width=140, allow_unicode=True)
