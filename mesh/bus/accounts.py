"""What each workload may do on the broker, derived from the contract: all that is not named here is denied.

A workload publishes the events of its own areas and reads those its contract names, each through a consumer of its own;
it hears its own wakes and its own answers. Everybody who verifies tokens also reads the events that end somebody's.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.bus.contract import EventContract, WorkloadEvents, read_events
from mesh.bus.subjects import API, area_of, consumer_creation, events_of, inbox_of, stream_of, token, wakes_of
from mesh.compiler import CompileError, Files
from mesh.policy import PolicyError

EMITTED: Final = "nats/authorization.conf"
"""Where the accounts go under `generated/`, to be included in a nats-server's configuration."""

_HEADING: Final = (
    "# Made by `make gen` from the contracts; do not edit. For the configuration of a nats-server:\n"
    '#   include "authorization.conf"\n'
    "# It reads each workload's password from the environment, as ZOCO_NATS_PASSWORD_<WORKLOAD>.\n"
)


@dataclass(frozen=True)
class Permissions:
    """The subjects that one user of the broker may use."""

    publish: tuple[str, ...]
    publish_never: tuple[str, ...]
    """Exceptions from `publish`."""
    subscribe: tuple[str, ...]

    def settings(self) -> Mapping[str, Any]:
        """As a nats-server's configuration says it."""
        publish: dict[str, Any] = {"allow": list(self.publish)}
        if self.publish_never:
            publish["deny"] = list(self.publish_never)
        return {"publish": publish, "subscribe": {"allow": list(self.subscribe)}}


def permissions(workload: str, contract: EventContract) -> Permissions:
    """What a workload may do on the broker.

    Raises:
        BadSubject: A name would be a wildcard, or more than one part of a subject.
        PolicyError: The contract does not know the workload.
    """
    own = contract.workloads.get(token(workload))
    if own is None:
        raise PolicyError(f"{workload}: no contract names this workload, so it has nothing to do on the broker")
    followed = tuple(contract.revoking) if own.verifies_tokens else ()
    wakes = wakes_of(workload)
    return Permissions(
        publish=(
            *map(events_of, own.areas),
            wakes,
            *(f"{API}.STREAM.{verb}.{stream_of(area)}" for area in own.areas for verb in ("CREATE", "UPDATE")),
            *_consuming(workload, own),
            *(f"{API}.CONSUMER.CREATE.{stream_of(area_of(event))}.*.{event}" for event in followed),
        ),
        publish_never=tuple(_consumers_of_others(workload, followed, contract)),
        subscribe=(f"{inbox_of(workload)}.>", wakes, *followed),
    )


def _consuming(workload: str, own: WorkloadEvents) -> Iterator[str]:
    for area in own.sources:
        stream = stream_of(area)
        events = own.consumed(area)
        yield consumer_creation(area, workload, events)
        if len(events) > 1:
            yield f"{consumer_creation(area, workload, events)}.>"  # a process of another version may want one only
        yield f"{API}.CONSUMER.MSG.NEXT.{stream}.{workload}"
        yield f"$JS.ACK.{stream}.{workload}.>"
        yield f"$JS.ACK.*.*.{stream}.{workload}.>"  # the newer form: domain and account come first (ADR-15)


def _consumers_of_others(workload: str, followed: tuple[str, ...], contract: EventContract) -> Iterator[str]:
    """Who follows events chooses a name for each time; the names of durable consumers are taken."""
    for area in sorted({area_of(event) for event in followed}):
        for other, events in contract.workloads.items():
            if other != workload and area in events.sources:
                yield f"{API}.CONSUMER.CREATE.{stream_of(area)}.{other}.>"


def emit(descriptors: FileDescriptorSet) -> Files:
    """Makes the accounts file of a cluster, without secrets.

    Raises:
        CompileError: A contract says something about events that cannot be.
    """
    try:
        contract = read_events(descriptors)
    except PolicyError as error:
        raise CompileError(str(error)) from error
    users = ",\n".join(_emitted(name, permissions(name, contract)) for name in contract.workloads)
    return {EMITTED: f"{_HEADING}authorization {{\n  users: [\n{users}\n  ]\n}}\n".encode()}


def _emitted(workload: str, granted: Permissions) -> str:
    # A variable is what JSON cannot say, and a nats-server replaces it only where it stands bare.
    variable = f"$ZOCO_NATS_PASSWORD_{workload.upper().replace('-', '_')}"
    lines = json.dumps(granted.settings(), indent=2).replace("\n", "\n      ")
    return f'    {{\n      user: "{workload}", password: {variable},\n      permissions: {lines}\n    }}'
