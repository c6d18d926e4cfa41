"""The OpenAPI document beside what an established generator makes of the same contracts, and beside its own past."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.openapi.breaking import OASDIFF, compare
from gateway.openapi.document import document
from mesh.policy import DESCRIPTORS

GENERATOR = OASDIFF.parent / "protoc-gen-openapiv2"

DIFFERENCES = {
    "update_mask": "grpc-gateway fills it in from the body's fields itself, so its document hides it; here the service "
    "does, and a client may send one",
    "healthz": "no RPC: the portal answers it",
}
"""What grpc-gateway's generator says otherwise, and why."""

Operations = dict[tuple[str, str], tuple[frozenset[str], bool]]
"""Query parameters, and whether there is a body, by verb and path; the names of path variables are left out."""


@pytest.fixture
def theirs(tmp_path: Path) -> Any:
    """OpenAPI 2, by grpc-gateway's protoc-gen-openapiv2."""
    if not GENERATOR.exists():
        pytest.skip("needs protoc-gen-openapiv2: make tools")
    descriptors = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    files = [file.name for file in descriptors.file if file.service and file.name.startswith("zoco/")]
    packages = [f"M{file.name}=example.com/{file.package}" for file in descriptors.file if not file.options.go_package]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={DESCRIPTORS}"),
            *(f"--plugin=protoc-gen-openapiv2={GENERATOR}", f"--openapiv2_out={tmp_path}"),
            f"--openapiv2_opt={','.join([*packages, 'allow_merge=true', 'merge_file_name=all'])}",
            *files,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "all.swagger.json").read_text())


def test_it_has_the_operations_parameters_and_bodies_that_grpc_gateway_finds(theirs: Any) -> None:
    ours = _operations(document(FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())))
    others = _operations(theirs)

    assert ours.keys() - others.keys() == {("GET", "/healthz")}, DIFFERENCES["healthz"]
    assert not others.keys() - ours.keys()
    for operation, (query, has_body) in others.items():
        own_query, own_body = ours[operation]
        assert own_query - query <= ({"updateMask"} if operation[0] == "PATCH" else set()), DIFFERENCES["update_mask"]
        assert query <= own_query, operation
        assert has_body == own_body, operation


def test_a_change_that_breaks_a_rest_client_is_told() -> None:
    if not OASDIFF.exists():
        pytest.skip("needs oasdiff: make tools")
    present = DESCRIPTORS.read_bytes()
    moved = FileDescriptorSet.FromString(present)
    file = next(each for each in moved.file if each.name == "zoco/order/v1/order_service.proto")
    preview = next(each for each in file.service[0].method if each.name == "PreviewOrder")
    preview.options.Extensions[annotations_pb2.http].post = "/v1/orders:price"

    assert compare(present, present) == ""
    assert "POST /v1/orders:preview" in compare(present, moved.SerializeToString())
    assert compare(moved.SerializeToString(), moved.SerializeToString()) == ""


def _operations(made: Any) -> Operations:
    found: Operations = {}
    for path, item in made["paths"].items():
        for verb, operation in item.items():
            parameters = operation.get("parameters", ())
            query = frozenset(each["name"] for each in parameters if each["in"] == "query")
            has_body = "requestBody" in operation or any(each["in"] == "body" for each in parameters)
            found[verb.upper(), re.sub(r"\{[^}]*\}", "{}", path)] = query, has_body
    return found
