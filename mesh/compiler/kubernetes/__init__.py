"""What a cluster enforces of the contract: NetworkPolicies, Istio resources, and the values the chart loops over."""

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import CompileError, Files
from mesh.compiler.kubernetes.catalog import catalog
from mesh.compiler.kubernetes.istio import (
    authorization_policies,
    destination_rules,
    peer_authentications,
    virtual_services,
)
from mesh.compiler.kubernetes.manifests import dump
from mesh.compiler.kubernetes.network_policies import network_policies
from mesh.compiler.kubernetes.topology import read_topology
from mesh.policy import PolicyError, read_policy
from mesh.tuning import TuningError, load_tuning


def emit(descriptors: FileDescriptorSet) -> Files:
    """Emits the cluster's documents; one of the compiler's emitters.

    Raises:
        CompileError: a contract or mesh/tuning.yaml breaks a rule.
    """
    try:
        policy, tuning = read_policy(descriptors), load_tuning()
    except (PolicyError, TuningError) as error:
        raise CompileError(str(error)) from error
    topology = read_topology(policy)
    return {
        "helm/catalog.yaml": dump("What the contract says that the chart must run.", [catalog(policy, topology)]),
        "kubernetes/network-policies.yaml": dump(
            "The call graph's connections and no others.", network_policies(topology)
        ),
        "istio/peer-authentications.yaml": dump("Certificates from everybody inside.", peer_authentications()),
        "istio/authorization-policies.yaml": dump("Who may call what.", authorization_policies(topology)),
        "istio/destination-rules.yaml": dump("How each workload is called.", destination_rules(topology, tuning)),
        "istio/virtual-services.yaml": dump(
            "One layer repeats calls, and it is the caller.", virtual_services(topology)
        ),
    }


__all__ = ["emit"]
