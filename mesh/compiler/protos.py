"""Protobuf files to a descriptor set and Python, offline: every import and plugin comes out of a package."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import Final

from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from mesh.compiler import CompileError, Files

DESCRIPTORS: Final = "descriptors.binpb"
"""Where the descriptor set goes under `generated/`."""

VALIDATE: Final = "buf/validate/validate.proto"

# No contract imports them; they travel inside `google.protobuf.Any`, and whoever turns an error into JSON needs their
# descriptors.
CARRIED_IN_ANY: Final = ("google/rpc/error_details.proto", "google/rpc/status.proto")


@dataclass(frozen=True)
class Compiled:
    """What protoc made of the contracts.

    Attributes:
        descriptors: a serialized FileDescriptorSet: contracts, all they import, and the error details; with comments.
            It stays serialized because only code that has imported the generated modules can read the options in it.
        files: the descriptor set and the Python code, as they go under `generated/`.
    """

    descriptors: bytes
    files: Files


def describe(root: Path) -> bytes:
    """Give the descriptor set of every `.proto` below `root`, as `Compiled.descriptors`, and make no code.

    Args:
        root: the directory import paths are relative to.

    Raises:
        CompileError: as `compile_protos`.
    """
    with tempfile.TemporaryDirectory(prefix="zoco-gen-") as directory:
        return _describe(Path(directory), root, _contracts(root))


def compile_protos(root: Path) -> Compiled:
    """Compile every `.proto` below `root`.

    Args:
        root: the directory import paths are relative to.

    Returns:
        The descriptor set and the Python modules (`_pb2.py`, `_pb2_grpc.py`) with their stubs and package markers.
        `google.*` is not among them: it comes from site-packages.

    Raises:
        CompileError: protoc refused a file; the text is protoc's own, which names file and line.
    """
    contracts = _contracts(root)
    with tempfile.TemporaryDirectory(prefix="zoco-gen-") as directory:
        scratch = Path(directory)
        out = scratch / "out"
        out.mkdir()
        descriptors = _describe(scratch, root, contracts)
        (out / DESCRIPTORS).write_bytes(descriptors)
        sources = _sources(scratch, root)
        # Not protoc's own --pyi_out: it types neither the values of an enum nor the options that extend a descriptor.
        _protoc(*sources, _plugin("mypy"), f"--python_out={out}", f"--mypy_out={out}", *contracts, VALIDATE)
        # The gRPC plugins write a file for every input, also where there is no service in it.
        if with_services := _with_services(descriptors, contracts):
            _protoc(
                *sources, _plugin("mypy_grpc"), f"--grpc_python_out={out}", f"--mypy_grpc_out={out}", *with_services
            )
        _mark_packages(out)
        files = {
            path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()
        }
    return Compiled(descriptors=descriptors, files=files)


def _contracts(root: Path) -> list[str]:
    contracts = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.proto"))
    if not contracts:
        raise CompileError(f"There is no .proto file under {root.name}/.")
    return contracts


def _sources(scratch: Path, root: Path) -> list[str]:
    """Give protoc's arguments that say where imports come from."""
    packaged = scratch / "packaged.binpb"
    packaged.write_bytes(_packaged_descriptors().SerializeToString(deterministic=True))
    return [f"--descriptor_set_in={packaged}", *(f"--proto_path={path}" for path in (root, *_include_directories()))]


def _describe(scratch: Path, root: Path, contracts: list[str]) -> bytes:
    described = scratch / DESCRIPTORS
    _protoc(
        *_sources(scratch, root),
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={described}",
        *contracts,
        VALIDATE,
        *CARRIED_IN_ANY,
    )
    return described.read_bytes()


def _packaged_descriptors() -> FileDescriptorSet:
    """Give buf/validate/validate.proto and its imports, in dependency order.

    protovalidate ships no .proto file, only the compiled descriptor it works with; so exactly the version that
    validates at run time is the one that contracts are compiled against.
    """
    packaged = FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(packaged.file.add())
    validate = import_module("protovalidate._gen.buf.validate.validate_pb").desc().proto.to_binary()
    packaged.file.append(FileDescriptorProto.FromString(bytes(validate)))
    return packaged


def _include_directories() -> tuple[Path, ...]:
    """Give the directories with google/{api,rpc,type}/*.proto and google/protobuf/*.proto.

    The first come with googleapis-common-protos, the second with grpcio-tools.
    """
    googleapis = Path(str(resources.files("google.rpc") / "error_details.proto")).parents[2]
    well_known = Path(str(resources.files("grpc_tools") / "_proto"))
    return googleapis, well_known


def executable(name: str) -> Path:
    """Find a console script of the environment that runs, which need not be on PATH.

    Args:
        name: of the script.

    Returns:
        Its path.

    Raises:
        CompileError: the environment lacks it.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise CompileError(
            f"{name} is missing in {path.parent.parent.name}: run `make gen`, which installs what it needs."
        )
    return path


def _plugin(name: str) -> str:
    return f"--plugin=protoc-gen-{name}={executable(f'protoc-gen-{name}')}"


def _with_services(descriptors: bytes, contracts: list[str]) -> list[str]:
    return [
        file.name for file in FileDescriptorSet.FromString(descriptors).file if file.name in contracts and file.service
    ]


def _mark_packages(out: Path) -> None:
    for directory in sorted(path for path in out.rglob("*") if path.is_dir()):
        name = directory.relative_to(out).as_posix()
        (directory / "__init__.py").write_text(f'"""Generated from protos/{name} by `make gen`. Do not edit."""\n')


def _protoc(*arguments: str) -> None:
    # A process of its own: protoc writes its findings to file descriptor 2 and keeps state between runs in one process.
    done = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CompileError(done.stderr.strip() or f"protoc ended with {done.returncode} and said nothing.")
