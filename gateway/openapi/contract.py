"""The contracts as the document reads them: every type by its full name, and what its comment says."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

# Numbers of fields in descriptor.proto, by which source locations are addressed.
_MESSAGES: Final = 4
_ENUMS: Final = 5
_SERVICES: Final = 6
_FIELDS: Final = 2
_NESTED: Final = 3
_NESTED_ENUMS: Final = 4
_VALUES: Final = 2
_METHODS: Final = 2

_Path = tuple[int, ...]


@dataclass(frozen=True)
class Types:
    """Everything that contracts declare, by full name without a leading dot.

    Attributes:
        messages: messages.
        enums: enumerations.
        comments: what stands above a message, field, enum, enum value, service or RPC, as it was written; a value is
            named by its enum, as `zoco.order.v1.Order.State.PENDING`.
    """

    messages: Mapping[str, DescriptorProto]
    enums: Mapping[str, EnumDescriptorProto]
    comments: Mapping[str, str]

    def comment(self, name: str) -> str:
        """Give the comment above something, in one paragraph a paragraph; empty if there is none."""
        paragraphs = self.comments.get(name, "").strip().split("\n\n")
        return "\n\n".join(" ".join(line.strip() for line in each.splitlines()) for each in paragraphs)

    def field(self, message: str, path: str) -> FieldDescriptorProto:
        """Give the field that a path such as `product.id` leads to, from a message on.

        Raises:
            KeyError: there is none.
        """
        head, _, rest = path.partition(".")
        found = next((field for field in self.messages[message].field if field.name == head), None)
        if found is None:
            raise KeyError(f"{message} has no field {head}")
        return self.field(found.type_name[1:], rest) if rest else found


def read_types(descriptors: FileDescriptorSet) -> Types:
    """Read what contracts declare.

    Args:
        descriptors: the contracts with all they import, and their source locations.
    """
    messages: dict[str, DescriptorProto] = {}
    enums: dict[str, EnumDescriptorProto] = {}
    comments: dict[str, str] = {}
    for file in descriptors.file:
        said = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}
        for path, name, declared in _declared(file):
            if isinstance(declared, DescriptorProto):
                messages[name] = declared
            if isinstance(declared, EnumDescriptorProto):
                enums[name] = declared
            if said.get(path):
                comments[name] = said[path]
    return Types(messages, enums, comments)


def _declared(file: FileDescriptorProto) -> Iterator[tuple[_Path, str, object]]:
    yield from _messages(file.message_type, (_MESSAGES,), file.package)
    yield from _enums(file.enum_type, (_ENUMS,), file.package)
    for number, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (_SERVICES, number), name, service
        for position, method in enumerate(service.method):
            yield (_SERVICES, number, _METHODS, position), f"{name}.{method.name}", method


def _messages(declared: Iterable[DescriptorProto], at: _Path, within: str) -> Iterator[tuple[_Path, str, object]]:
    for number, message in enumerate(declared):
        path, name = (*at, number), f"{within}.{message.name}"
        yield path, name, message
        for position, field in enumerate(message.field):
            yield (*path, _FIELDS, position), f"{name}.{field.name}", field
        yield from _messages(message.nested_type, (*path, _NESTED), name)
        yield from _enums(message.enum_type, (*path, _NESTED_ENUMS), name)


def _enums(declared: Iterable[EnumDescriptorProto], at: _Path, within: str) -> Iterator[tuple[_Path, str, object]]:
    for number, enum in enumerate(declared):
        path, name = (*at, number), f"{within}.{enum.name}"
        yield path, name, enum
        for position, value in enumerate(enum.value):
            yield (*path, _VALUES, position), f"{name}.{value.name}", value
