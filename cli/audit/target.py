"""What is audited: databases, the broker's monitor, logs, and what nobody may write down."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.failures import Failure
from cli.local import catalog, running
from cli.local.credentials import credentials, passwords
from cli.local.home import Home
from cli.local.settings import LocalSettings
from mesh.bus.contract import EventContract

DEFAULT_POOL = 10
"""Connections of a service's pool, unless ZOCO_DATABASE_POOL_SIZE says otherwise; as in mesh/settings.py."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running system."""

    databases: Mapping[str, str]
    """Service -> URL."""
    contract: EventContract
    processes: Mapping[str, int]
    """Service -> how many processes it has."""
    pool_size: int = DEFAULT_POOL
    monitor: int = 0
    """Port of the broker's monitor on this machine; 0 where there is none to ask."""
    logs: Path | None = None
    """Directory of log files."""
    secrets: Sequence[str] = ()
    """What was told in confidence."""

    @property
    def connections(self) -> Mapping[str, Mapping[str, int]]:
        """Service -> application -> connections at most: the pool of each process, and one a relay."""
        return {name: {name: count * self.pool_size, f"{name} relay": count} for name, count in self.processes.items()}


def running_target(settings: LocalSettings, home: Home, canaries: Sequence[str]) -> Target:
    """Return the system that runs under `home`.

    Raises:
        NotRunning: nothing does.
        Failure: its database cannot be reached.
    """
    ports = running.ports(home)
    urls = running.present_databases(settings, home)
    return Target(
        databases=urls,
        contract=catalog.events(),
        processes={name: sum(process.partition(".")[0] == name for process in ports.services) for name in urls},
        pool_size=settings.database_pool_size,
        monitor=ports.nats_monitor,
        logs=home.logs,
        secrets=[*canaries, *_own_secrets(home, list(urls))],
    )


def _own_secrets(home: Home, names: Sequence[str]) -> list[str]:
    """What this home itself keeps in files that only its owner can read."""
    stored = passwords(home, names)
    own = [stored.postgres, stored.nats, *stored.databases.values(), *stored.brokers.values(), stored.webhooks]
    return [*own, credentials(home).admin_password]


def consumers_in(answer: object) -> list[tuple[str, int]]:
    """What a broker's monitor says of its consumers: `stream consumer`, and how many events wait there.

    Args:
        answer: what `/jsz?consumers=true` gives.
    """
    found: list[tuple[str, int]] = []
    accounts: list[dict[str, Any]] = answer.get("account_details", []) if isinstance(answer, dict) else []
    for account in accounts:
        for stream in account.get("stream_detail", []):
            for consumer in stream.get("consumer_detail") or []:
                waiting = int(consumer.get("num_pending", 0)) + int(consumer.get("num_ack_pending", 0))
                found.append((f"{consumer['stream_name']} {consumer['name']}", waiting))
    return found


def acknowledged_ids(path: Path) -> list[str]:
    """Return the order ids of a file, one a line.

    Raises:
        Failure: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise Failure(f"{path} cannot be read: {reason}.") from None
    return [line.strip() for line in lines if line.strip()]


def dumped(value: object) -> str:
    """Return `value` as JSON for a program."""
    return json.dumps(value, indent=2)
