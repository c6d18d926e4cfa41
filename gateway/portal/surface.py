"""The contract as the public may see it: what reflection tells, and nothing of what is not exposed."""

from collections.abc import Collection, Container, Iterable, Iterator, MutableSequence
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from mesh.policy import Audience, Policy, read_policy
from zoco.mesh.v1 import policy_pb2

T = TypeVar("T")

_POLICY_FILE: Final = "zoco/mesh/v1/policy.proto"
# No message refers to them: they travel in google.protobuf.Any, and a client needs them to read an error.
_CARRIED_IN_ANY: Final = ("google/rpc/error_details.proto", "google/rpc/status.proto")
_PUBLISHED_WHOLE: Final = ("google/", "buf/")


@dataclass(frozen=True)
class PublicSurface:
    """What reflection shows.

    Attributes:
        services: full names, those of health and reflection not among them.
        pool: their descriptors, with those of health and of both versions of reflection.
    """

    services: tuple[str, ...]
    pool: DescriptorPool


def public_surface(descriptors: FileDescriptorSet) -> PublicSurface:
    """Cut a contract down to what is exposed.

    Methods that are not exposed are gone, and so are messages that only they or events use, and the options that say
    who may call whom.

    Args:
        descriptors: the contracts with all they import.
    """
    policy = read_policy(descriptors)
    files = {file.name: _public_services(file, policy) for file in descriptors.file}
    services = [f"{file.package}.{service.name}" for file in files.values() for service in file.service]
    needed = _needed_types(files.values())
    for file in files.values():
        if not file.name.startswith(_PUBLISHED_WHOLE):
            _drop_types(file, needed)
    return PublicSurface(tuple(sorted(services)), _pool(files))


def _public_services(original: FileDescriptorProto, policy: Policy) -> FileDescriptorProto:
    file = FileDescriptorProto()
    file.CopyFrom(original)
    # Comments are found by position, and positions change here.
    file.ClearField("source_code_info")
    for service in file.service:
        full_name = f"{file.package}.{service.name}"
        shown = []
        for method in service.method:
            found = policy.methods.get(f"/{full_name}/{method.name}")
            if found is not None and found.audience is not Audience.NONE:
                method.options.ClearExtension(policy_pb2.method)
                shown.append(method)
        service.options.ClearExtension(policy_pb2.service)
        _replace(service.method, shown)
    _replace(file.service, [service for service in file.service if service.method])
    return file


def _needed_types(files: Collection[FileDescriptorProto]) -> frozenset[str]:
    """Give the top-level types that exposed methods use, directly or not, as `.package.Name`."""
    declared: dict[str, DescriptorProto | None] = {}
    for file in files:
        declared.update({f".{file.package}.{message.name}": message for message in file.message_type})
        declared.update(dict.fromkeys(f".{file.package}.{enum.name}" for enum in file.enum_type))
    needed: set[str] = set()
    waiting = [
        name
        for file in files
        for service in file.service
        for method in service.method
        for name in (method.input_type, method.output_type)
    ]
    while waiting:
        name = _top_level(waiting.pop(), declared)
        if name in needed:
            continue
        needed.add(name)
        if message := declared[name]:
            waiting += _types_in(message)
    return frozenset(needed)


def _top_level(name: str, declared: Container[str]) -> str:
    while name not in declared:
        name = name.rpartition(".")[0]
    return name


def _types_in(message: DescriptorProto) -> Iterator[str]:
    yield from (field.type_name for field in message.field if field.type_name)
    for nested in message.nested_type:
        yield from _types_in(nested)


def _drop_types(file: FileDescriptorProto, needed: frozenset[str]) -> None:
    _replace(file.message_type, [kind for kind in file.message_type if f".{file.package}.{kind.name}" in needed])
    _replace(file.enum_type, [kind for kind in file.enum_type if f".{file.package}.{kind.name}" in needed])
    file.ClearField("extension")
    for message in file.message_type:
        _drop_field_policies(message)


def _drop_field_policies(message: DescriptorProto) -> None:
    for field in message.field:
        field.options.ClearExtension(policy_pb2.sensitive)
    for nested in message.nested_type:
        _drop_field_policies(nested)


def _pool(files: dict[str, FileDescriptorProto]) -> DescriptorPool:
    pool = DescriptorPool()
    added: set[str] = set()

    def add(name: str) -> None:
        if name in added:
            return
        added.add(name)
        file = files[name]
        _replace(file.dependency, [imported for imported in file.dependency if imported != _POLICY_FILE])
        for imported in file.dependency:
            add(imported)
        pool.Add(file)

    for file in sorted(files):
        if files[file].service or file in _CARRIED_IN_ANY:
            add(file)
    for file_proto in _of_every_server():
        pool.Add(file_proto)
    return pool


def _of_every_server() -> Iterator[FileDescriptorProto]:
    """Give health and both versions of reflection, of which the package has one: they differ in the name alone."""
    for module in (health_pb2, reflection_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        yield file
    alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    yield text_format.Parse(text_format.MessageToString(alpha).replace("v1alpha", "v1"), FileDescriptorProto())


def _replace(container: MutableSequence[T], items: Iterable[T]) -> None:
    kept = list(items)
    del container[:]
    container.extend(kept)
