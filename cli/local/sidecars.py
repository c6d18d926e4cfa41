"""The Envoy beside each service process (MESH=envoy): its configuration, its readiness, its drain."""

from cli.local.envoy import envoy_program
from cli.local.home import write_private
from cli.local.inner import inner_directory
from cli.local.portcheck import LOOPBACK
from cli.local.ports import Slot
from cli.local.probes import EnvoyHealth, GrpcHealth
from cli.local.process import ProcessSpec
from cli.local.shop import PROBE_IDENTITY, Shop
from gateway.identity import IdentityFiles
from gateway.runtime import Address
from gateway.sidecar.runtime import SidecarRuntime
from mesh.policy import Policy, load_policy
from mesh.sidecar import SIDECAR

_LONGER_THAN_SERVICES = 1.0


class SidecarHealth:
    """An Envoy beside a service: ready once the mesh reaches the service through it, and the service its neighbours.

    From then on it is well while Envoy is: a service that fails later is reported as itself.
    """

    def __init__(self, outward: EnvoyHealth, through: GrpcHealth) -> None:
        """Ask Envoy itself, which says whether it has reached the neighbours, and the service through it."""
        self._outward = outward
        self._through = through
        self._passed = False

    async def __call__(self) -> str | None:
        """Return None when calls reach the service, else what is missing."""
        reason = await self._outward()
        if reason is not None or self._passed:
            return reason
        reason = await self._through()
        self._passed = reason is None
        return reason


def sidecar_name(slot: Slot) -> str:
    """Return the name of a process's sidecar, as `zoco status` shows it."""
    return f"{slot.process}.{SIDECAR}"


def sidecar_processes(shop: Shop) -> list[ProcessSpec]:
    """Write the configurations of all sidecars and return how to run them."""
    slots = shop.behind_sidecars()
    if not slots:
        return []
    # Rendering reads every contract: only a start with sidecars pays for that import.
    from gateway.sidecar.bootstrap import render, secret_files  # noqa: PLC0415

    policy = load_policy()
    processes = []
    for slot in slots:
        runtime = _runtime(shop, slot)
        path = shop.home.config / sidecar_name(slot) / "envoy.json"
        files = {str(path): render(runtime, policy, shop.tuning), **secret_files(runtime)}
        for name, text in files.items():
            file = path.parent / name
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(file, text)
        port, admin = shop.ports.services[slot.process], shop.ports.sidecar_admin[slot.process]
        processes.append(
            ProcessSpec(
                name=sidecar_name(slot),
                program=envoy_program(shop.settings, path, workers=1),
                log=shop.home.log(sidecar_name(slot)),
                probe=SidecarHealth(
                    EnvoyHealth(admin, _neighbours(shop, runtime, policy)),
                    GrpcHealth(port, shop.home.pki / PROBE_IDENTITY),
                ),
                port=port,
                # Of all that wait for a service that does not get well, the service itself is reported.
                start_seconds=shop.settings.start_timeout + _LONGER_THAN_SERVICES,
            )
        )
    return processes


def _neighbours(shop: Shop, runtime: SidecarRuntime, policy: Policy) -> set[str]:
    """Return where those listen that are started here and that a sidecar's service calls."""
    # Imported late like the rendering that it belongs to.
    from gateway.sidecar.outbound import neighbours  # noqa: PLC0415

    called = {address for name in neighbours(policy, runtime.workload) for address in runtime.neighbours[name]}
    return called & set(shop.addresses())


def _runtime(shop: Shop, slot: Slot) -> SidecarRuntime:
    secrets = shop.home.config / sidecar_name(slot)
    inner = inner_directory(shop.home.pki, slot.workload, SIDECAR)
    return SidecarRuntime(
        workload=slot.workload,
        public=Address(LOOPBACK, shop.ports.services[slot.process]),
        service=Address(LOOPBACK, shop.ports.inner[slot.process]),
        outbound=Address(LOOPBACK, shop.ports.outbound[slot.process]),
        admin=Address(LOOPBACK, shop.ports.sidecar_admin[slot.process]),
        neighbours={name: tuple(targets) for name, targets in shop.peers().items()},
        mesh=IdentityFiles(str(shop.home.pki / slot.workload), str(secrets / "mesh")),
        inner=IdentityFiles(str(inner), None),
    )
