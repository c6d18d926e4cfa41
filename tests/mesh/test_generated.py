"""generated/ is what the compiler makes of the contracts: the same every time, and committed."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import CompileError
from mesh.compiler.__main__ import generate
from mesh.compiler.protos import DESCRIPTORS, compile_protos
from mesh.compiler.tree import Difference, compare, write

ROOT = Path(__file__).resolve().parents[2]

SAMPLE = """
syntax = "proto3";
package sample.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "google/type/money.proto";
service SampleService {
  rpc GetSample(GetSampleRequest) returns (Sample) { option (google.api.http) = {get: "/v1/samples/{id}"}; }
}
message GetSampleRequest { string id = 1 [(buf.validate.field).string.uuid = true]; }
// A thing with a price.
message Sample {
  enum State { STATE_UNSPECIFIED = 0; SOLD = 1; }
  string id = 1; google.type.Money price = 2; State state = 3;
}
"""


def compiler(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mesh.compiler", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    (tmp_path / "sample/v1").mkdir(parents=True)
    (tmp_path / "sample/v1/sample.proto").write_text(SAMPLE)
    return tmp_path


def test_a_fresh_generation_equals_the_commit() -> None:
    fresh = compiler("--check")
    assert fresh.returncode == 0, fresh.stderr
    if (ROOT / ".git").exists():
        status = ["git", "status", "--porcelain", "--", "generated"]
        uncommitted = subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert uncommitted == ""


def test_two_generations_are_byte_identical() -> None:
    assert generate(ROOT) == generate(ROOT)


def test_contracts_compile_from_packages_alone(contracts: Path) -> None:
    compiled = compile_protos(contracts)
    files = {file.name: file for file in FileDescriptorSet.FromString(compiled.descriptors).file}
    assert {"buf/validate/validate.proto", "google/api/http.proto", "google/rpc/error_details.proto"} <= files.keys()
    comments = [location.leading_comments for location in files["sample/v1/sample.proto"].source_code_info.location]
    assert " A thing with a price.\n" in comments
    assert {
        DESCRIPTORS,
        "sample/v1/sample_pb2.py",
        "sample/v1/sample_pb2.pyi",
        "sample/v1/sample_pb2_grpc.py",
        "sample/v1/sample_pb2_grpc.pyi",
        "sample/v1/__init__.py",
        "buf/validate/validate_pb2.py",
        "buf/validate/validate_pb2.pyi",
    } <= compiled.files.keys()
    assert not [path for path in compiled.files if path.startswith("google/")]


def test_stubs_are_typed_for_async_channels(contracts: Path) -> None:
    stub = compile_protos(contracts).files["sample/v1/sample_pb2_grpc.pyi"].decode()
    assert "def __new__(cls, channel: _aio.Channel) -> SampleServiceAsyncStub" in stub
    assert "GetSample: _aio.UnaryUnaryMultiCallable[" in stub


def test_values_of_an_enum_are_a_type_of_their_own(contracts: Path) -> None:
    messages = compile_protos(contracts).files["sample/v1/sample_pb2.pyi"].decode()
    assert 'ValueType = _typing.NewType("ValueType", _builtins.int)' in messages
    assert "state: Global___Sample.State.ValueType" in messages


def test_a_wrong_contract_is_refused_with_file_and_line(contracts: Path) -> None:
    (contracts / "sample/v1/sample.proto").write_text(SAMPLE.replace("google.type.Money", "google.type.Coins"))
    with pytest.raises(CompileError, match=r"sample/v1/sample\.proto:14:.*google\.type\.Coins"):
        compile_protos(contracts)


def test_a_directory_is_made_to_hold_exactly_what_was_generated(tmp_path: Path) -> None:
    write(tmp_path, {"kept": b"1", "changed": b"1", "gone/deep/file": b"1"})
    untouched = (tmp_path / "kept").stat().st_mtime_ns
    wanted = {"kept": b"1", "changed": b"2", "new/file": b"3"}
    assert compare(tmp_path, wanted) == [
        Difference("changed", "different"),
        Difference("gone/deep/file", "stale"),
        Difference("new/file", "missing"),
    ]
    write(tmp_path, wanted)
    assert compare(tmp_path, wanted) == []
    assert (tmp_path / "kept").stat().st_mtime_ns == untouched
    assert not (tmp_path / "gone").exists()
