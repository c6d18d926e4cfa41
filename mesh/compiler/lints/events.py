"""Lints on events: what is sensitive leaves its service only for a reason, and never goes into an event store."""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from mesh.compiler.lints.contract import Contract, Fault
from zoco.mesh.v1 import policy_pb2


def sensitive_event(contract: Contract) -> Iterator[Fault]:
    """An event with a sensitive field and no reason for it, or a stored one with any."""
    for file in contract.files:
        stored = ".storage." in f"{file.package}."
        if not (stored or file.name.endswith("_events.proto")):
            continue
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            found = next(iter(_sensitive(contract, name, ())), None)
            if found is None:
                continue
            if stored:
                yield Fault(
                    name,
                    f"it is stored, and {found} is sensitive",
                    "keep that in a row that can be erased, not in history",
                )
            elif not message.options.Extensions[policy_pb2.event].sensitive_because:
                yield Fault(
                    name,
                    f"{found} is sensitive, and the broker keeps events for days",
                    "drop it, or say who needs it: option (zoco.mesh.v1.event).sensitive_because",
                )


def _sensitive(contract: Contract, message: str, walked: tuple[str, ...]) -> Iterator[str]:
    """Paths of the sensitive fields of a message, nested ones included."""
    if message not in contract.messages or message in walked:
        return
    for field in contract.messages[message].field:
        if field.options.Extensions[policy_pb2.sensitive]:
            yield field.name
        elif field.type == FieldDescriptorProto.TYPE_MESSAGE:
            inner = _sensitive(contract, field.type_name.lstrip("."), (*walked, message))
            yield from (f"{field.name}.{each}" for each in inner)


def unknown_event(contract: Contract) -> Iterator[Fault]:
    """A subscription to what no contract has."""
    events = {
        f"{file.package}.{message.name}"
        for file in contract.files
        if file.name.endswith("_events.proto")
        for message in file.message_type
    }
    for file in contract.files:
        for service in file.service:
            for name in service.options.Extensions[policy_pb2.service].consumes:
                if name not in events:
                    yield Fault(
                        f"{file.package}.{service.name}",
                        f'consumes names "{name}", which is no event',
                        "name a message of an _events.proto, as package.v1.Event",
                    )
