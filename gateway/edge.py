"""The Envoy edge out of the contract: `render` for one edge, `emit` for what stands in generated/."""

from pathlib import Path
from typing import Final

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.clusters import clusters
from gateway.contract import ContractError, Surface, read_surface
from gateway.listeners import listeners
from gateway.routes import virtual_host
from gateway.runtime import EdgeRuntime, cluster_runtime
from gateway.xds import Message, extension, socket_address
from mesh.compiler import CompileError, Files
from mesh.policy import PolicyError

GENERATED: Final = "envoy/edge.yaml"
"""Where the edge of a cluster goes under `generated/`."""

# Regular expressions come from the contract alone, and RE2 is linear in the length of what it reads.
_RUNTIME: Final = {"re2.max_program_size.error_level": 1000}

_MAX_CONNECTIONS: Final = 10_000

_HEADER: Final = "# The public edge, as it runs in a cluster. Generated from protos/ by `make gen`. Do not edit.\n"


def bootstrap(runtime: EdgeRuntime, surface: Surface) -> Message:
    """Give Envoy's whole configuration.

    Args:
        runtime: addresses, files and environment of this edge.
        surface: what the contract exposes.

    Returns:
        An envoy.config.bootstrap.v3.Bootstrap in its JSON form.

    Raises:
        ContractError: the runtime has no address for a workload that the contract names.
    """
    if missing := sorted(surface.workloads - runtime.workloads.keys()):
        raise ContractError(f"The edge has no address for the workload {missing[0]}.")
    routes = {"name": "edge", "virtual_hosts": [virtual_host(runtime, surface)]}
    return {
        "node": {"id": "edge", "cluster": "edge"},
        "admin": {"address": socket_address(runtime.admin)},
        "layered_runtime": {"layers": [{"name": "edge", "static_layer": _RUNTIME}]},
        "overload_manager": {"resource_monitors": [_connection_limit()]},
        "static_resources": {
            "listeners": listeners(runtime, surface, routes),
            "clusters": clusters(runtime),
        },
    }


def render(runtime: EdgeRuntime) -> str:
    """Give the configuration file of an edge, from the contract that `runtime.files.descriptors` holds.

    Args:
        runtime: addresses, files and environment of this edge.

    Returns:
        YAML, for `envoy --config-path`.

    Raises:
        ContractError: the contract asks for what the edge cannot serve.
        PolicyError: a contract leaves out what every contract must say.
        OSError: the descriptor set cannot be read.
    """
    descriptors = FileDescriptorSet.FromString(Path(runtime.files.descriptors).read_bytes())
    return _dump(bootstrap(runtime, read_surface(descriptors)))


def emit(descriptors: FileDescriptorSet) -> Files:
    """Emit the edge of a cluster; one of the compiler's emitters.

    Args:
        descriptors: the contracts with all they import.

    Returns:
        The file under `generated/`.

    Raises:
        CompileError: the contract asks for what the edge cannot serve.
    """
    try:
        surface = read_surface(descriptors)
        runtime = cluster_runtime(surface.workloads)
        return {GENERATED: (_HEADER + _dump(bootstrap(runtime, surface))).encode()}
    except (ContractError, PolicyError, ValueError) as error:
        raise CompileError(str(error)) from error


def _connection_limit() -> Message:
    return extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=_MAX_CONNECTIONS,
    )


def _dump(config: Message) -> str:
    # Both listeners share one route table: YAML writes it once and refers to it.
    return yaml.safe_dump(config, sort_keys=False, width=140, allow_unicode=True)
