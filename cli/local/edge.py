"""Envoy at the edge of this machine: its configuration from the contract, its readiness, its drain."""

import os
from functools import partial
from urllib.parse import urlsplit

from cli.local.envoy import drain, envoy_program
from cli.local.home import write_private
from cli.local.pki import EDGE_TLS
from cli.local.portcheck import LOOPBACK
from cli.local.probes import EdgeHealth
from cli.local.process import ProcessSpec
from cli.local.shop import Shop
from gateway.identity import IdentityFiles
from gateway.runtime import Address, EdgeFiles, EdgeRuntime
from mesh.policy import DESCRIPTORS, load_policy

_SECRETS = "edge-sds"
_OTLP_PORT = 4317


def edge_process(shop: Shop) -> ProcessSpec:
    """Write Envoy's configuration and return how to run it."""
    # Rendering reads every contract: only a start pays for that import.
    from gateway.edge import render, secret_files  # noqa: PLC0415

    runtime = _runtime(shop)
    path = shop.home.config / "edge.yaml"
    write_private(path, render(runtime, shop.tuning))
    for name, text in secret_files(runtime).items():
        file = shop.home.config / _SECRETS / name
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(file, text)
    admin = shop.ports.edge_admin
    return ProcessSpec(
        name="edge",
        program=envoy_program(shop.settings, path, workers=_workers()),
        log=shop.home.log("edge"),
        probe=EdgeHealth(admin, shop.addresses(), keys=_gives_keys(shop)),
        port=shop.ports.edge,
        start_seconds=shop.settings.start_timeout,
        before_stop=partial(drain, admin, "edge"),
    )


def _gives_keys(shop: Shop) -> bool:
    source = load_policy().token_keys
    return source is not None and source.workload in shop.services


def _workers() -> int:
    """Return how many threads Envoy gets: one on a small machine, where the services need the cores."""
    return min(4, max(1, (os.cpu_count() or 1) // 2))


def _runtime(shop: Shop) -> EdgeRuntime:
    secrets, ports = shop.home.config / _SECRETS, shop.ports
    return EdgeRuntime(
        environment=shop.settings.env,
        plain=Address(LOOPBACK, ports.edge),
        tls=Address(LOOPBACK, ports.edge_tls),
        admin=Address(LOOPBACK, ports.edge_admin),
        workloads={name: tuple(targets) for name, targets in shop.peers().items()},
        page=(f"{LOOPBACK}:{ports.page}",),
        files=EdgeFiles(
            identity=IdentityFiles(str(shop.home.pki / "edge"), str(secrets / "edge")),
            public=IdentityFiles(str(shop.home.pki / EDGE_TLS), str(secrets / EDGE_TLS)),
            descriptors=str(DESCRIPTORS),
            keys_socket=str(shop.home.keys_socket),
        ),
        trace_collector=_collector(shop.settings.otlp_endpoint),
        trace_ratio=shop.settings.trace_ratio,
        token_issuer=shop.settings.token_issuer,
        token_audience=shop.settings.token_audience,
        # The pages of the portal send an Origin, too, with what they post.
        origins=(
            *shop.settings.cors_origins,
            f"http://localhost:{ports.edge}",
            f"http://{LOOPBACK}:{ports.edge}",
        ),
    )


def _collector(endpoint: str | None) -> str | None:
    """Return where the edge's own spans go, as `host:port`: where everybody's go, but not over TLS."""
    parts = urlsplit(endpoint or "")
    if parts.scheme != "http" or not parts.hostname:
        return None
    return parts.netloc if parts.port else f"{parts.netloc}:{_OTLP_PORT}"
