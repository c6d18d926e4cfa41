"""The xDS protos of the very Envoy that is installed, read out of its binary: no second version that could differ.

Envoy is linked with the descriptors of all its APIs, each a serialized FileDescriptorProto. Such a file begins with
its name (field 1) and, being proto3, ends with `syntax` (field 12). The published Python package of these protos lags
behind (a filter we use is missing) and owns files that googleapis-common-protos owns too.
"""

import mmap
import re
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError, Message

BOOTSTRAP: Final = "envoy.config.bootstrap.v3.Bootstrap"
RESOURCES: Final = "envoy.service.discovery.v3.DiscoveryResponse"
_NAME: Final = re.compile(rb"\n([\x01-\x7f])([a-z][a-zA-Z0-9_/.-]*\.proto)(?=[\x12\x1a\x22\x2a\x42])")
_LAST_FIELD: Final = 12
_VARINT, _BYTES = 0, 2


def read_descriptors(binary: Path) -> descriptor_pool.DescriptorPool:
    """Returns every proto file that an Envoy binary carries, as a pool."""
    found: dict[str, FileDescriptorProto] = {}
    with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        for match in _NAME.finditer(image):
            name = match[2].decode()
            if match[1][0] != len(name) or name in found:
                continue
            try:
                descriptor = FileDescriptorProto.FromString(image[match.start() : _end(image, match.start())])
            except (DecodeError, ValueError):
                continue  # looked like a descriptor and is none
            if descriptor.name == name:
                found[name] = descriptor
    pool = descriptor_pool.DescriptorPool()
    for name in list(found):
        _add(name, found, pool)
    return pool


def parse_strictly(config: dict[str, Any], pool: descriptor_pool.DescriptorPool) -> Message:
    """Reads a bootstrap, or a file of resources (xDS by file), every typed_config within it included.

    Raises:
        json_format.ParseError: a field or message that Envoy does not know, or a value of a wrong type.
    """
    kind = RESOURCES if "resources" in config else BOOTSTRAP
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(kind))()
    return json_format.ParseDict(config, message, ignore_unknown_fields=False, descriptor_pool=pool)


def _add(name: str, found: dict[str, FileDescriptorProto], pool: descriptor_pool.DescriptorPool) -> None:
    descriptor = found.pop(name, None)
    if descriptor is not None:
        for dependency in descriptor.dependency:
            _add(dependency, found, pool)
        pool.Add(descriptor)


def _end(image: mmap.mmap, start: int) -> int:
    """Walks the fields of a serialized FileDescriptorProto to its end."""
    position, field = start, 0
    while field != _LAST_FIELD:
        tag, after = _varint(image, position)
        following, kind = tag >> 3, tag & 7
        if not 0 < following <= _LAST_FIELD or (following == 1 and field):
            break
        if kind == _BYTES:
            length, after = _varint(image, after)
            after += length
        elif kind == _VARINT:
            _, after = _varint(image, after)
        else:
            break
        position, field = after, following
    return position


def _varint(image: mmap.mmap, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 35:
        byte = image[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("no varint")
