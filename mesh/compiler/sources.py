"""Where in the contracts an RPC's options stand, line by line."""

import re
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from zoco.mesh.v1 import policy_pb2


def method_path(service: int, method: int) -> tuple[int, ...]:
    """The path of a method in a file's SourceCodeInfo (descriptor.proto), by its place and that of its service."""
    return FileDescriptorProto.SERVICE_FIELD_NUMBER, service, ServiceDescriptorProto.METHOD_FIELD_NUMBER, method


def find_option(descriptors: FileDescriptorSet, path: str, option: str, protos: Path) -> tuple[str, int] | None:
    """Find the line of a contract that says an option of an RPC.

    The compiler tells where the whole of the options stands; the line within is looked up in the file. Without the
    file, or where the option is not said, it is their first line.

    Args:
        descriptors: the contracts with source information.
        path: gRPC path of the RPC.
        option: such as `access.callers`.
        protos: the directory of the contracts.

    Returns:
        The file below `protos` and the line, from 1; None if there is no such RPC.
    """
    for file in descriptors.file:
        for at, service in enumerate(file.service):
            for below, method in enumerate(service.method):
                if path == f"/{file.package}.{service.name}/{method.name}":
                    options = MethodDescriptorProto.OPTIONS_FIELD_NUMBER
                    wanted = [*method_path(at, below), options, policy_pb2.METHOD_FIELD_NUMBER]
                    spans = [each.span for each in file.source_code_info.location if list(each.path) == wanted]
                    first, last = (spans[0][0], spans[0][2] if len(spans[0]) > 3 else spans[0][0]) if spans else (0, 0)
                    return file.name, _line(protos / file.name, first, last, option.rpartition(".")[2])
    return None


def _line(file: Path, first: int, last: int, word: str) -> int:
    """The line, from 1, with an option's name between two, from 0."""
    said = re.compile(rf"\b{word}\s*:")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    found = (number for number in range(first, min(last + 1, len(lines))) if said.search(lines[number]))
    return next(found, first) + 1
