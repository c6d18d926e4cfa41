"""What the contracts say about events: who publishes them, who reads them, and which end somebody's tokens."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from mesh.bus.subjects import BadSubject, area_of
from mesh.policy import DESCRIPTORS, PolicyError
from zoco.mesh.v1 import policy_pb2


@dataclass(frozen=True)
class WorkloadEvents:
    """One workload's part in the exchange of events."""

    areas: tuple[str, ...]
    """Whose events it publishes: the areas of the services it serves."""
    consumes: tuple[str, ...]
    """The events it handles, by full name."""
    verifies_tokens: bool
    """Whether it serves people, so that it must know whose tokens are refused."""

    def consumed(self, area: str) -> tuple[str, ...]:
        """The events of an area it handles."""
        return tuple(event for event in self.consumes if area_of(event) == area)

    @property
    def sources(self) -> tuple[str, ...]:
        """The areas whose events it handles."""
        return tuple(sorted({area_of(event) for event in self.consumes}))


@dataclass(frozen=True)
class EventContract:
    """What all contracts together say about events."""

    workloads: Mapping[str, WorkloadEvents]
    revoking: Mapping[str, str]
    """Events after which a person's earlier access tokens are refused: full name -> the field with the person's id."""


def load_events(path: Path = DESCRIPTORS) -> EventContract:
    """Reads a descriptor set from a file. Raises as `read_events`, and OSError where there is no file."""
    return read_events(FileDescriptorSet.FromString(path.read_bytes()))


def read_events(descriptors: FileDescriptorSet) -> EventContract:
    """Reads what a descriptor set says about events.

    Raises:
        PolicyError: An event stands in no area, or names a field that it does not have. The text names file, place,
            rule and remedy. That a subscription names an event is the business of the lint unknown-event.
    """
    messages = {
        f"{file.package}.{message.name}": (file, message) for file in descriptors.file for message in file.message_type
    }
    areas: dict[str, dict[str, None]] = {}
    consumes: dict[str, dict[str, None]] = {}
    verifiers: set[str] = set()
    for file in descriptors.file:
        for service in file.service:
            options = service.options.Extensions[policy_pb2.service]
            if not options.workload:
                continue
            place = f"{file.name}: {service.name}"
            for event in options.consumes:
                _area(event, place)
            areas.setdefault(options.workload, {}).update(_areas_of(file))
            consumes.setdefault(options.workload, {}).update(dict.fromkeys(options.consumes))
            if any(
                method.options.Extensions[policy_pb2.method].access.edge != policy_pb2.EDGE_AUDIENCE_NONE
                for method in service.method
            ):
                verifiers.add(options.workload)
    return EventContract(
        workloads={
            name: WorkloadEvents(tuple(areas[name]), tuple(sorted(consumes[name])), name in verifiers)
            for name in sorted(areas)
        },
        revoking=dict(_revoking(messages)),
    )


def _areas_of(file: FileDescriptorProto) -> Mapping[str, None]:
    match file.package.split("."):
        case ["zoco", area, _]:
            return {area: None}
        case _:
            return {}  # a contract outside of the shop, in tests: it publishes nothing


def _revoking(messages: Mapping[str, tuple[FileDescriptorProto, DescriptorProto]]) -> Iterator[tuple[str, str]]:
    for name, (file, message) in sorted(messages.items()):
        field = message.options.Extensions[policy_pb2.event].revokes_tokens_of
        if not field:
            continue
        place = f"{file.name}: {message.name}"
        _area(name, place)
        wrong = f"{place}: revokes_tokens_of names {field}, which is"
        found = [each for each in message.field if each.name == field]
        if not found:
            raise PolicyError(f"{wrong} no field of the event; name the one with the person's id")
        kind, label = found[0].type, found[0].label
        if kind != FieldDescriptorProto.TYPE_STRING or label == FieldDescriptorProto.LABEL_REPEATED:
            raise PolicyError(f"{wrong} no single string; name the field with the person's id")
        yield name, field


def _area(event: str, place: str) -> str:
    try:
        return area_of(event)
    except BadSubject as error:
        raise PolicyError(f"{place}: {error}; events stand in the package of an area") from error
