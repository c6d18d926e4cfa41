"""What one sidecar is told beyond the contract: where it stands between service and mesh, and its two identities."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from gateway.identity import IdentityFiles
from gateway.runtime import Address


@dataclass(frozen=True)
class SidecarRuntime:
    """One sidecar.

    Attributes:
        workload: whose.
        public: where the mesh calls the workload.
        service: the inner port of the service process behind it.
        outbound: where that process calls its neighbours.
        admin: Envoy's own page.
        neighbours: addresses of the workloads that it calls: `{"payment": ("127.0.0.1:50055",)}`.
        mesh: the workload's own identity, shown to the mesh.
        inner: the sidecar's identity towards its service, and the authority that signed both of theirs; made at start.
    """

    workload: str
    public: Address
    service: Address
    outbound: Address
    admin: Address
    neighbours: Mapping[str, tuple[str, ...]]
    mesh: IdentityFiles
    inner: IdentityFiles

    def __post_init__(self) -> None:
        """Refuse what would open the inside to others."""
        for name, address in (("service", self.service), ("outbound", self.outbound), ("admin", self.admin)):
            if not address.numeric or not ip_address(address.host).is_loopback:
                raise ValueError(f"The sidecar's {name} address must be a loopback address, not {address.host}.")


def cluster_runtime(workload: str, neighbours: Iterable[str]) -> SidecarRuntime:
    """Give a sidecar as it runs in a cluster, in one pod with its service.

    Args:
        workload: whose.
        neighbours: the workloads that it calls.
    """
    return SidecarRuntime(
        workload=workload,
        public=Address("0.0.0.0", 50051),  # noqa: S104 - the mesh reaches it here
        service=Address("127.0.0.1", 50052),
        outbound=Address("127.0.0.1", 50053),
        admin=Address("127.0.0.1", 9901),
        neighbours={name: (f"{name}:50051",) for name in sorted(neighbours)},
        mesh=IdentityFiles("/var/run/zoco/pki", "/etc/zoco/sidecar/mesh"),
        inner=IdentityFiles("/var/run/zoco/inner", None),
    )
