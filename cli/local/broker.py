"""NATS with JetStream on this machine, every acknowledged message on disk."""

import json
from pathlib import Path

from cli.local import binaries
from cli.local.home import Home, write_private
from cli.local.portcheck import LOOPBACK
from cli.local.probes import HttpHealth
from cli.local.process import ProcessSpec
from cli.local.spawning import Program

USER = "zoco"


def nats_url(port: int, password: str) -> str:
    """Return the URL with which workloads connect. Of the password, letters, digits, `-` and `_` are sure to arrive.

    nats-py takes a URL's password as it stands, other clients undo percent signs first.
    """
    return f"nats://{USER}:{password}@{LOOPBACK}:{port}"


def nats_process(home: Home, port: int, monitor: int, password: str, *, start_seconds: float) -> ProcessSpec:
    """Write the configuration and return how to run the broker."""
    path = home.config / "nats.conf"
    write_private(path, _configuration(home.nats, port, monitor, password))
    return ProcessSpec(
        name="nats",
        program=Program((str(binaries.nats_server()), "--config", str(path))),
        log=home.log("nats"),
        probe=HttpHealth(monitor, "/healthz"),
        port=port,
        start_seconds=start_seconds,
    )


def _configuration(store: Path, port: int, monitor: int, password: str) -> str:
    # NATS reads JSON as well as its own form; strings that JSON quotes need no second thought.
    settings = {
        "server_name": "zoco",
        "listen": f"{LOOPBACK}:{port}",
        "http": f"{LOOPBACK}:{monitor}",
        "authorization": {"user": USER, "password": password},
        "jetstream": {
            "store_dir": str(store),
            # By default it syncs every two minutes: an acknowledged event could be lost with the power.
            "sync_interval": "always",
            "max_memory_store": 64 * 2**20,
            "max_file_store": 16 * 2**30,
        },
    }
    return json.dumps(settings, indent=2) + "\n"
