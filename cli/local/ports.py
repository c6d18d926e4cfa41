"""Which port belongs to whom: fixed for the edge, blocks for services and metrics, free ones for the rest."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cli.failures import Failure, PortTaken
from cli.local.portcheck import LOOPBACK, is_free, require_free
from cli.local.settings import (
    DEFAULT_EDGE_PORT,
    DEFAULT_EDGE_TLS_PORT,
    DEFAULT_METRICS_PORT,
    DEFAULT_SERVICES_PORT,
    LocalSettings,
)
from mesh.wellknown import PORTAL

# The portal keeps the eighth place of each block, and the metrics block's ninth for its page; services that come later
# than the first seven start at the tenth, so that adding one moves nobody.
_FIRST = 7
_PORTAL_SLOT = 7
_PAGE_SLOT = 8
_LATER_SLOT = 9
_REPLICA_SLOT = 10
_AUDIT_PORT = 9119  # the last of the first block; moved like the broker's where it is taken
_STRIDE = 20
_HIGHEST = 65535


@dataclass(frozen=True)
class Slot:
    """One process of a workload and its place in the blocks."""

    workload: str
    number: int
    place: int

    @property
    def process(self) -> str:
        """The process's name: the workload's, with a number from the second process on."""
        return self.workload if self.number == 1 else f"{self.workload}.{self.number}"


@dataclass(frozen=True)
class Ports:
    """Every port of a running system."""

    edge: int
    edge_tls: int
    edge_admin: int
    page: int
    services: Mapping[str, int]
    metrics: Mapping[str, int]
    postgres: int
    nats: int
    nats_monitor: int
    inner: Mapping[str, int] = field(default_factory=dict)
    """Where services behind a sidecar listen; `services` are then their sidecars' ports."""
    outbound: Mapping[str, int] = field(default_factory=dict)
    """Where sidecars take the calls of their services."""
    sidecar_admin: Mapping[str, int] = field(default_factory=dict)
    """Envoy's own page of each sidecar."""
    audit: int = 0
    """Metrics of the scheduled audit."""


def slots(services: Sequence[str], replicas: Mapping[str, int]) -> list[Slot]:
    """Return the processes to run, each with its place in the port blocks.

    Raises:
        Failure: `replicas` names a workload that does not exist.
    """
    unknown = sorted(set(replicas) - set(services))
    if unknown:
        raise Failure(f"ZOCO_REPLICAS names {unknown[0]}, but the services are {', '.join(services)}.")
    places = [*range(_FIRST), *range(_LATER_SLOT, _LATER_SLOT + len(services))][: len(services)]
    firsts = [Slot(name, 1, place) for name, place in zip(services, places, strict=True)]
    result = [*firsts, Slot(PORTAL, 1, _PORTAL_SLOT)]
    place = max(_REPLICA_SLOT, 1 + max(slot.place for slot in result))
    for name in services:
        for number in range(2, replicas.get(name, 1) + 1):
            result.append(Slot(name, number, place))
            place += 1
    return result


def plan(
    settings: LocalSettings, places: Sequence[Slot], previous: Ports | None, *, database: bool, broker: bool
) -> Ports:
    """Choose the ports of a start and check that they are free.

    Args:
        settings: what the environment asks for.
        places: the processes, from `slots`.
        previous: the ports of the last start, kept where they are still free.
        database: whether PostgreSQL is ours to start.
        broker: whether NATS is ours to start.

    Raises:
        PortTaken: a port that was asked for, or is the default, is in use or asked for twice; it says by whom.
    """
    taken: set[int] = set()
    edge = _asked_for(settings.edge_port, taken, "the edge", "ZOCO_EDGE_PORT")
    edge_tls = _tls_port(settings, taken)
    width = [slot.place for slot in places]
    services = _block(
        settings.services_port,
        default=DEFAULT_SERVICES_PORT,
        places=width,
        taken=taken,
        movable=settings.moved,
        last=_last_base(places, previous.services if previous else {}),
        purpose="the services",
        variable="ZOCO_SERVICES_PORT",
    )
    metrics = _block(
        settings.metrics_port,
        default=DEFAULT_METRICS_PORT,
        places=[*width, _PAGE_SLOT],
        taken=taken,
        movable=settings.moved,
        last=previous.page - _PAGE_SLOT if previous else None,
        purpose="the metrics",
        variable="ZOCO_METRICS_PORT",
    )
    return Ports(
        edge=edge,
        edge_tls=edge_tls,
        edge_admin=_choose(previous.edge_admin if previous else 0, taken),
        page=metrics + _PAGE_SLOT,
        services={slot.process: services + slot.place for slot in places},
        metrics={slot.process: metrics + slot.place for slot in places},
        postgres=_choose(previous.postgres if previous else 0, taken) if database else 0,
        nats=_choose(previous.nats if previous else 0, taken) if broker else 0,
        nats_monitor=_choose(previous.nats_monitor if previous else 0, taken) if broker else 0,
        audit=_choose((previous.audit if previous else 0) or _AUDIT_PORT, taken),
        **_sidecars(settings, places, previous, taken),
    )


def _sidecars(
    settings: LocalSettings, places: Sequence[Slot], previous: Ports | None, taken: set[int]
) -> dict[str, dict[str, int]]:
    """Return the ports that only a sidecar and its service use, for every process that has one."""
    if settings.mesh == "inprocess":
        return {}

    def chosen(last: Mapping[str, int]) -> dict[str, int]:
        return {slot.process: _choose(last.get(slot.process, 0), taken) for slot in places if slot.workload != PORTAL}

    return {
        "inner": chosen(previous.inner if previous else {}),
        "outbound": chosen(previous.outbound if previous else {}),
        "sidecar_admin": chosen(previous.sidecar_admin if previous else {}),
    }


def _asked_for(port: int, taken: set[int], purpose: str, variable: str) -> int:
    """Return a port that was asked for, and count it as taken."""
    if port in taken:
        raise PortTaken(f"Port {port} for {purpose} is asked for twice; set {variable} to move ours.")
    require_free(port, purpose, variable)
    taken.add(port)
    return port


def _tls_port(settings: LocalSettings, taken: set[int]) -> int:
    """Return the port asked for, or the one at the default distance from a moved edge, or the next that is free."""
    if settings.edge_tls_port is not None or not settings.moved:
        port = settings.edge_tls_port or DEFAULT_EDGE_TLS_PORT
        return _asked_for(port, taken, "the edge's TLS", "ZOCO_EDGE_TLS_PORT")
    wanted = settings.edge_port + DEFAULT_EDGE_TLS_PORT - DEFAULT_EDGE_PORT
    for port in range(wanted, wanted + _STRIDE):
        if port <= _HIGHEST and is_free(port):
            taken.add(port)
            return port
    raise PortTaken(f"No port near {wanted} is free for the edge's TLS; choose one with ZOCO_EDGE_TLS_PORT.")


def _block(
    fixed: int | None,
    *,
    default: int,
    places: Sequence[int],
    taken: set[int],
    movable: bool,
    last: int | None,
    purpose: str,
    variable: str,
) -> int:
    if fixed is not None or not movable:
        base = fixed if fixed is not None else default
        for place in sorted(places):
            _asked_for(base + place, taken, purpose, variable)
        return base
    highest = _HIGHEST - max(places)
    candidates: list[int] = [*([last] if last else []), *range(default, highest, max(_STRIDE, 1 + max(places)))]
    for base in candidates:
        ports = {base + place for place in places}
        if ports.isdisjoint(taken) and all(map(is_free, ports)):
            taken |= ports
            return base
    raise PortTaken(f"No block of {1 + max(places)} free ports is left for {purpose}; choose one with {variable}.")


def _last_base(places: Sequence[Slot], ports: Mapping[str, int]) -> int | None:
    return next((ports[slot.process] - slot.place for slot in places if slot.process in ports), None)


def _choose(preferred: int, taken: set[int]) -> int:
    """Return `preferred` if it is free, else a port the kernel picks, never one in `taken`."""
    port = preferred
    while not port or port in taken or not is_free(port):
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
    taken.add(port)
    return port
