"""Classes of messages that this process has no generated code for, out of the descriptor set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message


def message_classes(descriptors: Path, names: Sequence[str]) -> Mapping[str, type[Message]]:
    """The classes of messages, by full name.

    Raises:
        KeyError: The descriptor set does not have one.
        OSError: The file cannot be read.
    """
    if not names:
        return {}
    pool = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}
