"""The sidecar out of the contract: `render` for one process, `emit` for what stands in generated/."""

import json
from typing import Final

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.identity import sds_files
from gateway.sidecar.inbound import inbound, service_cluster
from gateway.sidecar.outbound import UnrepeatableCode, neighbour_clusters, neighbours, outbound
from gateway.sidecar.runtime import SidecarRuntime, cluster_runtime
from gateway.xds import Message, extension, socket_address
from mesh.compiler import CompileError, Files
from mesh.policy import Policy, PolicyError, read_policy
from mesh.tuning import Tuning, TuningError, load_tuning

GENERATED: Final = "envoy/sidecars"
"""Where the sidecars of a cluster go under `generated/`: a file a workload, and the SDS files that all share."""

_MAX_CONNECTIONS: Final = 10_000

_HEADER: Final = "# A workload's sidecar, as it runs in a cluster. Generated from protos/ by `make gen`. Do not edit.\n"


def bootstrap(runtime: SidecarRuntime, policy: Policy, tuning: Tuning) -> Message:
    """Give Envoy's whole configuration.

    Args:
        runtime: addresses and files of this sidecar.
        policy: the whole contract.
        tuning: the numbers.

    Returns:
        An envoy.config.bootstrap.v3.Bootstrap in its JSON form.

    Raises:
        ValueError: the runtime has no address for a workload that is called.
        UnrepeatableCode: a contract repeats a code that Envoy cannot.
    """
    if missing := set(neighbours(policy, runtime.workload)) - runtime.neighbours.keys():
        raise ValueError(f"The sidecar of {runtime.workload} has no address for the workload {min(missing)}.")
    limit = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=_MAX_CONNECTIONS,
    )
    return {
        "node": {"id": f"{runtime.workload}-sidecar", "cluster": runtime.workload},
        "admin": {"address": socket_address(runtime.admin)},
        "overload_manager": {"resource_monitors": [limit]},
        "static_resources": {
            "listeners": [inbound(runtime, policy), outbound(runtime, policy, tuning)],
            "clusters": [service_cluster(runtime, tuning), *neighbour_clusters(runtime, policy, tuning)],
        },
    }


def render(runtime: SidecarRuntime, policy: Policy, tuning: Tuning | None = None) -> str:
    """Give the configuration file of a sidecar.

    Args:
        runtime: addresses and files of this sidecar.
        policy: the whole contract.
        tuning: the numbers; those of mesh/tuning.yaml unless given.

    Returns:
        JSON, for `envoy --config-path`: written and read ten times as fast as YAML. It needs the `secret_files`, too.

    Raises:
        ValueError: as `bootstrap`.
    """
    return json.dumps(bootstrap(runtime, policy, tuning or load_tuning()), indent=1)


def secret_files(runtime: SidecarRuntime) -> dict[str, str]:
    """Give the SDS files of a sidecar: YAML by absolute path."""
    return {f"{runtime.mesh.secrets}/{name}": text for name, text in sds_files(runtime.mesh).items()}


def emit(descriptors: FileDescriptorSet) -> Files:
    """Emit the sidecars of a cluster; one of the compiler's emitters.

    Args:
        descriptors: the contracts with all they import.

    Returns:
        The files under `generated/`.

    Raises:
        CompileError: the contract asks for what a sidecar cannot do, or mesh/tuning.yaml breaks a rule.
    """
    files: dict[str, bytes] = {}
    try:
        policy, tuning = read_policy(descriptors), load_tuning()
        for workload in sorted(policy.workloads):
            runtime = cluster_runtime(workload, neighbours(policy, workload))
            files[f"{GENERATED}/{workload}.yaml"] = (_HEADER + _dump(bootstrap(runtime, policy, tuning))).encode()
            files |= {f"{GENERATED}/mesh/{name}": text.encode() for name, text in sds_files(runtime.mesh).items()}
    except (PolicyError, TuningError, UnrepeatableCode) as error:
        raise CompileError(str(error)) from error
    return files


def _dump(config: Message) -> str:
    return yaml.safe_dump(config, sort_keys=False, width=140, allow_unicode=True)
