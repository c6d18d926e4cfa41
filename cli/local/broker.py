"""NATS with JetStream on this machine: every acknowledged message on disk, every workload behind its own account."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.local import binaries
from cli.local.home import Home, write_private
from cli.local.portcheck import LOOPBACK
from cli.local.probes import HttpHealth
from cli.local.process import ProcessSpec
from cli.local.spawning import Program
from mesh.bus.accounts import permissions
from mesh.bus.contract import EventContract

_UNHEALTHY_SECONDS = 30.0
"""A stream that could not be written once, because the disk was full, takes nothing more until the server restarts."""

OPERATOR = "operator"
"""The account of whoever runs this machine: all of the broker, for a look by hand. No process uses it."""


def nats_url(port: int, user: str, password: str) -> str:
    """Return the URL with which `user` connects. Of the password, letters, digits, `-` and `_` are sure to arrive.

    nats-py takes a URL's password as it stands, other clients undo percent signs first.
    """
    return f"nats://{user}:{password}@{LOOPBACK}:{port}"


def authorization(contract: EventContract, operator: str, passwords: Mapping[str, str]) -> dict[str, Any]:
    """Return the accounts as a nats-server's configuration says them; nobody else gets in.

    Args:
        contract: what each workload may do.
        operator: the password of the one account that may do everything.
        passwords: workload -> password.
    """
    accounts: list[dict[str, Any]] = [{"user": OPERATOR, "password": operator}]
    for workload in contract.workloads:
        if workload in passwords:
            granted = permissions(workload, contract).settings()
            accounts.append({"user": workload, "password": passwords[workload], "permissions": granted})
    return {"users": accounts}


def nats_process(
    home: Home, port: int, monitor: int, accounts: Mapping[str, Any], *, start_seconds: float
) -> ProcessSpec:
    """Write the configuration and return how to run the broker.

    Args:
        home: where it stores.
        port: where workloads connect.
        monitor: where its health is asked.
        accounts: who gets in, from `authorization`.
        start_seconds: how long it may take to become healthy.
    """
    path = home.config / "nats.conf"
    write_private(path, _configuration(home.nats, port, monitor, accounts))
    return ProcessSpec(
        name="nats",
        program=Program((str(binaries.nats_server()), "--config", str(path))),
        log=home.log("nats"),
        probe=HttpHealth(monitor, "/healthz"),
        port=port,
        start_seconds=start_seconds,
        unhealthy_seconds=_UNHEALTHY_SECONDS,
    )


def _configuration(store: Path, port: int, monitor: int, accounts: Mapping[str, Any]) -> str:
    # NATS reads JSON as well as its own form; strings that JSON quotes need no second thought.
    settings = {
        "server_name": "zoco",
        "listen": f"{LOOPBACK}:{port}",
        "http": f"{LOOPBACK}:{monitor}",
        "authorization": accounts,
        "jetstream": {
            "store_dir": str(store),
            # By default it syncs every two minutes: an acknowledged event could be lost with the power.
            "sync_interval": "always",
            "max_memory_store": 64 * 2**20,
            "max_file_store": 16 * 2**30,
        },
    }
    return json.dumps(settings, indent=2) + "\n"
