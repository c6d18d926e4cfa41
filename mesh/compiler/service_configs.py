"""Emits the gRPC service config of each workload: for clients in other languages, and to see what a change does."""

import json

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import CompileError, Files
from mesh.policy import read_policy
from mesh.service_config import service_config
from mesh.tuning import TuningError, load_tuning


def emit(descriptors: FileDescriptorSet) -> Files:
    """Emits `grpc/<workload>.json`, what channels to that workload are opened with; one of the compiler's emitters.

    Raises:
        CompileError: mesh/tuning.yaml breaks a rule.
    """
    policy = read_policy(descriptors)
    try:
        retry = load_tuning().retry
    except TuningError as error:
        raise CompileError(str(error)) from error
    return {
        f"grpc/{workload}.json": (json.dumps(service_config(policy, workload, retry), indent=2) + "\n").encode()
        for workload in policy.workloads
    }
