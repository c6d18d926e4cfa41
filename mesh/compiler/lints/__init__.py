"""What the whole contract is held to beyond what one file can say: every finding at once, one line each."""

from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import CompileError
from mesh.compiler.lints.contract import Contract, Fault, read_contract
from mesh.compiler.lints.findings import LINTS, Finding, Lint, lint
from mesh.compiler.lints.layers import lint_emitted
from mesh.compiler.lints.stubs import lint_stubs
from mesh.policy import read_policy
from mesh.tuning import TuningError, load_tuning

__all__ = [
    "LINTS",
    "Contract",
    "Fault",
    "Finding",
    "Lint",
    "lint",
    "lint_emitted",
    "lint_project",
    "lint_stubs",
    "read_contract",
]


def lint_project(root: Path, descriptors: FileDescriptorSet) -> Sequence[Finding]:
    """Holds the contracts of a project against every lint, its tuning and its code.

    Args:
        root: the project directory.
        descriptors: what protoc made of its contracts.

    Returns:
        The findings, by file and line.

    Raises:
        CompileError: the tuning cannot be read.
    """
    try:
        tuning = load_tuning(root / "mesh" / "tuning.yaml")
    except (TuningError, OSError) as error:
        raise CompileError(str(error)) from None
    return sorted([*lint(descriptors, tuning), *lint_stubs(root, read_policy(descriptors, skip_incomplete=True))])
