"""What one edge is told beyond the contract: where it listens, where the workloads are, which files it reads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, Self

from gateway.identity import IdentityFiles
from mesh.settings import TOKEN_AUDIENCE, TOKEN_ISSUER
from mesh.wellknown import PORTAL

__all__ = ["PORTAL", "Address", "EdgeFiles", "EdgeRuntime", "cluster_runtime"]


@dataclass(frozen=True)
class Address:
    """Where something listens or is reached.

    Attributes:
        host: an IP address, or a name that DNS resolves.
        port: TCP port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port` or `[IPv6]:port`.

        Raises:
            ValueError: there is no port, or it is no number.
        """
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isdecimal():
            raise ValueError(f"{text!r} is not HOST:PORT.")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def numeric(self) -> bool:
        """Whether the host is an IP address."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass(frozen=True)
class EdgeFiles:
    """Files of Envoy's. PEM, absolute.

    Attributes:
        identity: of the workload `edge`, shown to the services.
        public: what the TLS listener shows to clients; None where TLS ends before this edge.
        descriptors: the compiled contracts, `generated/descriptors.binpb`.
        keys_socket: made by the edge, in a directory where it may write: how it asks itself for the keys of tokens.
    """

    identity: IdentityFiles
    public: IdentityFiles | None
    descriptors: str
    keys_socket: str


@dataclass(frozen=True)
class EdgeRuntime:
    """One edge.

    Attributes:
        environment: `production` switches reflection off, and chooses the profile of rate limits.
        plain: where HTTP/1.1 and cleartext HTTP/2 are served.
        tls: where the same is served over TLS; None switches it off.
        admin: Envoy's own page; always on a loopback address.
        workloads: addresses of each workload's processes, the portal included: `{"order": ("127.0.0.1:50054",)}`.
        page: addresses of the portal's HTTP server.
        files: identity and contract.
        origins: what browsers may call from, as `https://shop.example`.
        trusted_hops: proxies in front of this edge whose X-Forwarded-For is believed.
        trace_collector: OTLP/gRPC collector for the edge's own spans; None sends none, the trace still starts here.
        trace_ratio: share of the traces begun here that is recorded, 0 to 1.
        token_issuer: `iss` of access tokens.
        token_audience: `aud` of access tokens.
    """

    environment: Literal["dev", "production"]
    plain: Address
    tls: Address | None
    admin: Address
    workloads: Mapping[str, tuple[str, ...]]
    page: tuple[str, ...]
    files: EdgeFiles
    origins: tuple[str, ...] = ()
    trusted_hops: int = 0
    trace_collector: str | None = None
    trace_ratio: float = 1.0
    token_issuer: str = TOKEN_ISSUER
    token_audience: str = TOKEN_AUDIENCE

    def __post_init__(self) -> None:
        """Refuse what would be unsafe."""
        if not self.admin.numeric or not ip_address(self.admin.host).is_loopback:
            raise ValueError(f"Envoy's admin page must stay on a loopback address, not {self.admin.host}.")
        if self.tls and not self.files.public:
            raise ValueError("The TLS listener needs a certificate.")


def cluster_runtime(workloads: Iterable[str]) -> EdgeRuntime:
    """Give the edge as it runs in a cluster: every workload a DNS name, files mounted, TLS on.

    Args:
        workloads: names in the catalog, without the portal.
    """
    return EdgeRuntime(
        environment="production",
        plain=Address("0.0.0.0", 8080),  # noqa: S104 - an edge is there to be reached
        tls=Address("0.0.0.0", 8443),  # noqa: S104 - an edge is there to be reached
        admin=Address("127.0.0.1", 9901),
        workloads={name: (f"{name}:50051",) for name in sorted({*workloads, PORTAL})},
        page=(f"{PORTAL}:8080",),
        trace_ratio=0.1,
        files=EdgeFiles(
            identity=IdentityFiles("/var/run/zoco/pki", "/etc/zoco/sds/edge"),
            public=IdentityFiles("/var/run/zoco/edge-tls", "/etc/zoco/sds/edge-tls"),
            descriptors="/etc/zoco/descriptors.binpb",
            keys_socket="/var/run/zoco/edge/token-keys.sock",
        ),
    )
