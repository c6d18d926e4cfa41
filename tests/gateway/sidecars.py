"""A real sidecar with the emitted configuration, between neighbours of a test's own."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc

from cli.local.inner import inner_directory, issue_inner
from gateway.identity import IdentityFiles
from gateway.runtime import Address
from gateway.sidecar.bootstrap import render, secret_files
from gateway.sidecar.runtime import SidecarRuntime
from mesh.credentials import client_credentials
from mesh.sidecar import SERVICE, SIDECAR
from tests.gateway.envoys import RunningEnvoy, run_envoy
from tests.gateway.neighbours import Neighbour, policy

LOOPBACK = "127.0.0.1"
FREE = Address(LOOPBACK, 0)


@dataclass
class Sidecar:
    """A running sidecar.

    Attributes:
        workload: whose.
        pki: identities of the mesh.
        inner: where the inner identities of the service and of the sidecar are, each a directory.
        envoy: the process.
    """

    workload: str
    pki: Path
    inner: Path
    envoy: RunningEnvoy
    stack: AsyncExitStack

    @property
    def address(self) -> str:
        """Where the mesh calls the workload."""
        return f"{LOOPBACK}:{self.envoy.ports['inbound']}"

    def channel(self, caller: str) -> grpc.aio.Channel:
        """A channel to the workload, as another one."""
        return self._open("inbound", client_credentials(self.pki / caller), self.workload)

    def own_channel(self, identity: Path | None = None) -> grpc.aio.Channel:
        """A channel to the outbound listener, as the service or with another identity."""
        return self._open("outbound", client_credentials(identity or self.inner / SERVICE), SIDECAR)

    def _open(self, listener: str, credentials: grpc.ChannelCredentials, name: str) -> grpc.aio.Channel:
        options = (("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1))
        channel = grpc.aio.secure_channel(f"{LOOPBACK}:{self.envoy.ports[listener]}", credentials, options=options)
        self.stack.push_async_callback(channel.close)
        return channel


def inner_identities(directory: Path, workload: str) -> Path:
    """Make the identities between a service and its sidecar: `service` and `sidecar` below what is returned."""
    issue_inner(directory, [workload])
    return inner_directory(directory, workload, SERVICE).parent


def sidecar_runtime(
    workload: str,
    pki: Path,
    inner: Path,
    directory: Path,
    *,
    service: str = f"{LOOPBACK}:1",
    neighbours: Mapping[str, Sequence[str]] | None = None,
) -> SidecarRuntime:
    """Describe a sidecar on free ports of this machine. Neighbours that are not given are nowhere."""
    nowhere = dict.fromkeys(policy().workloads, (f"{LOOPBACK}:1",))
    return SidecarRuntime(
        workload=workload,
        public=FREE,
        service=Address.parse(service),
        outbound=FREE,
        admin=FREE,
        neighbours={**nowhere, **{name: tuple(hosts) for name, hosts in (neighbours or {}).items()}},
        mesh=IdentityFiles(str(pki / workload), str(directory / "mesh")),
        inner=IdentityFiles(str(inner / SIDECAR), None),
    )


def write_secrets(runtime: SidecarRuntime) -> None:
    """Write the SDS files of a sidecar."""
    for name, text in secret_files(runtime).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


async def start_sidecar(
    stack: AsyncExitStack,
    workload: str,
    pki: Path,
    directory: Path,
    *,
    inner: Path | None = None,
    service: str = f"{LOOPBACK}:1",
    neighbours: Mapping[str, Sequence[str]] | None = None,
) -> Sidecar:
    """Start a sidecar; it ends with the stack.

    Args:
        stack: ends it.
        workload: whose.
        pki: identities of the mesh.
        directory: for configuration and log.
        inner: from `inner_identities`; made if None.
        service: `host:port` of the service behind it.
        neighbours: addresses of those it calls.
    """
    known = inner or inner_identities(directory, workload)
    runtime = sidecar_runtime(workload, pki, known, directory, service=service, neighbours=neighbours)
    write_secrets(runtime)
    envoy = await run_envoy(stack, render(runtime, policy()), directory, {"inbound", "outbound"})
    return Sidecar(workload, pki, known, envoy, stack)


async def start_behind_sidecar(
    stack: AsyncExitStack, workload: str, pki: Path, directory: Path
) -> tuple[Sidecar, Neighbour]:
    """Start a workload's stand-in and the sidecar before it, as they run in a shop."""
    inner = inner_identities(directory, workload)
    service = Neighbour(workload, inner / SERVICE)
    await service.start()
    stack.push_async_callback(service.kill)
    sidecar = await start_sidecar(stack, workload, pki, directory, inner=inner, service=service.address)
    return sidecar, service
