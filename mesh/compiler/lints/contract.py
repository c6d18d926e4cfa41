"""What lints look at: the policy, the messages, and where each thing stands in the contracts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from mesh.compiler.sources import method_path
from mesh.policy import MethodPolicy, Policy, omissions, read_policy


class Place(NamedTuple):
    """Where something stands."""

    file: str
    """Relative to `protos/`."""
    line: int
    """From 1."""


class Fault(NamedTuple):
    """What a lint found, in three parts of one line."""

    subject: str
    """A gRPC path, or the full name of a service or message."""
    problem: str
    remedy: str


@dataclass(frozen=True)
class Contract:
    """The contracts as lints see them."""

    policy: Policy
    """Without the methods that leave something out."""
    incomplete: Mapping[str, tuple[str, ...]]
    """What those leave out, by gRPC path."""
    files: tuple[FileDescriptorProto, ...]
    messages: Mapping[str, DescriptorProto]
    """By full name; nested ones too."""
    places: Mapping[str, Place]
    """Of methods by gRPC path, of services and top-level messages by full name."""

    def methods(self) -> Iterator[MethodPolicy]:
        """All complete methods, by path."""
        return (self.policy.methods[path] for path in sorted(self.policy.methods))

    def field(self, message: str, path: str) -> FieldDescriptorProto | None:
        """The field that a dotted path names, seen from a message; None where there is none."""
        found: FieldDescriptorProto | None = None
        for name in path.split("."):
            fields = self.messages[message].field if message in self.messages else ()
            found = next((field for field in fields if field.name == name), None)
            if found is None:
                return None
            message = found.type_name.lstrip(".")
        return found


def read_contract(descriptors: FileDescriptorSet) -> Contract:
    """Prepares a descriptor set for the lints."""
    incomplete = {
        f"/{file.package}.{service.name}/{method.name}": missing
        for file in descriptors.file
        for service in file.service
        for method in service.method
        if is_ours(file.package) and (missing := omissions(method))
    }
    messages: dict[str, DescriptorProto] = {}
    places: dict[str, Place] = {}
    for file in descriptors.file:
        for message in file.message_type:
            messages.update(_with_nested(f"{file.package}.{message.name}", message))
        places.update(_places(file))
    policy = read_policy(descriptors, skip_incomplete=True)
    return Contract(policy, incomplete, tuple(descriptors.file), messages, places)


def is_ours(package: str) -> bool:
    """Whether a package is a contract of this project, not something it imports."""
    return not package.startswith(("google.", "grpc.", "buf."))


def _with_nested(name: str, message: DescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    yield name, message
    for nested in message.nested_type:
        yield from _with_nested(f"{name}.{nested.name}", nested)


def _places(file: FileDescriptorProto) -> Iterator[tuple[str, Place]]:
    lines = {tuple(location.path): location.span[0] + 1 for location in file.source_code_info.location}
    for at, message in enumerate(file.message_type):
        yield (
            f"{file.package}.{message.name}",
            Place(file.name, lines.get((FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, at), 1)),
        )
    for at, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield name, Place(file.name, lines.get((FileDescriptorProto.SERVICE_FIELD_NUMBER, at), 1))
        for below, method in enumerate(service.method):
            path = method_path(at, below)
            yield f"/{name}/{method.name}", Place(file.name, lines.get(path, 1))
