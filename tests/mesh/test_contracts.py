"""What every contract keeps to and buf cannot say."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import EnumDescriptorProto, FileDescriptorSet

from mesh.compiler.protos import DESCRIPTORS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def contracts() -> FileDescriptorSet:
    everything = FileDescriptorSet.FromString((ROOT / "generated" / DESCRIPTORS).read_bytes())
    return FileDescriptorSet(file=[file for file in everything.file if file.package.startswith("zoco.")])


def prefix(enum: EnumDescriptorProto) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in enum.name).strip("_").upper() + "_"


def test_a_top_level_enum_prefixes_its_values(contracts: FileDescriptorSet) -> None:
    bare = [
        f"{file.package}.{value.name}"
        for file in contracts.file
        for enum in file.enum_type
        # The names of reasons go into ErrorInfo.reason as they are.
        if enum.name != "ErrorReason"
        for value in enum.value
        if not value.name.startswith(prefix(enum))
    ]
    assert bare == []


def test_a_package_is_named_by_its_directory(contracts: FileDescriptorSet) -> None:
    assert [f.name for f in contracts.file if f.name.rsplit("/", 1)[0] != f.package.replace(".", "/")] == []
