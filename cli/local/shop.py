"""The shop's own processes: every service, the portal and the edge, and the environment each gets."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cli.local.broker import nats_url
from cli.local.credentials import Credentials, Secrets
from cli.local.home import Home
from cli.local.portcheck import LOOPBACK
from cli.local.ports import PORTAL, Ports, Slot
from cli.local.postgres import Database
from cli.local.probes import GrpcHealth
from cli.local.process import ProcessSpec
from cli.local.settings import PROJECT, LocalSettings
from cli.local.spawning import Program

PROBE_IDENTITY = "cli"
# Settings of ours that would mean something else, or too much, to a service.
_OURS = frozenset({"ZOCO_HOME", "ZOCO_REPLICAS", "ZOCO_ENVOY", "DATABASE_URL", "NATS_URL"})


@dataclass(frozen=True)
class Shop:
    """Everything the processes of one home need to know."""

    settings: LocalSettings
    home: Home
    ports: Ports
    places: Sequence[Slot]
    """Every process the contract has a place for."""
    services: Sequence[str]
    """The workloads to start."""
    credentials: Credentials
    secrets: Secrets
    database: Database
    nats_url: str | None
    """A broker of the user's own, with whatever accounts it has; None for ours."""

    def peers(self) -> dict[str, list[str]]:
        """Return where each workload listens."""
        result: dict[str, list[str]] = {}
        for slot in self.places:
            result.setdefault(slot.workload, []).append(f"{LOOPBACK}:{self.ports.services[slot.process]}")
        return result

    def addresses(self) -> list[str]:
        """Return where the processes listen that are started here."""
        return [f"{LOOPBACK}:{self.ports.services[slot.process]}" for slot in self._started()]

    def processes(self) -> list[ProcessSpec]:
        """Return how to run every service, and the portal if there is one."""
        return [self._process(slot) for slot in self._started()]

    def _started(self) -> list[Slot]:
        started = {*self.services, *([PORTAL] if has_portal() else [])}
        return [slot for slot in self.places if slot.workload in started]

    def _process(self, slot: Slot) -> ProcessSpec:
        port = self.ports.services[slot.process]
        module = "gateway.portal" if slot.workload == PORTAL else f"services.{slot.workload}"
        return ProcessSpec(
            name=slot.process,
            program=Program((sys.executable, "-m", module), self._environment(slot)),
            log=self.home.log(slot.process),
            probe=GrpcHealth(port, self.home.pki / PROBE_IDENTITY),
            port=port,
            start_seconds=self.settings.start_timeout,
        )

    def _environment(self, slot: Slot) -> dict[str, str]:
        own = {
            "ZOCO_ENV": self.settings.env,
            "ZOCO_LISTEN": f"{LOOPBACK}:{self.ports.services[slot.process]}",
            "ZOCO_METRICS_LISTEN": f"{LOOPBACK}:{self.ports.metrics[slot.process]}",
            "ZOCO_PKI_DIR": str(self.home.pki / slot.workload),
            "ZOCO_PEERS": json.dumps(self.peers()),
            "LOG_LEVEL": self.settings.log_level,
            "LOG_FORMAT": self.settings.log_format,
            **self._special(slot.workload),
        }
        if slot.workload in self.secrets.databases:
            own["DATABASE_URL"] = self.database.of(slot.workload, self.secrets.databases[slot.workload])
        if slot.workload in self.secrets.brokers:
            own["NATS_URL"] = self._broker(slot.workload)
        return {**inherited(os.environ), **own}

    def _broker(self, workload: str) -> str:
        if self.nats_url is not None:
            return self.nats_url
        return nats_url(self.ports.nats, workload, self.secrets.brokers[workload])

    def _special(self, workload: str) -> Mapping[str, str]:
        match workload:
            case "user":
                return {
                    "ZOCO_SIGNING_KEYS_DIR": str(self.home.pki / "tokens"),
                    "ZOCO_ADMIN_EMAIL": self.credentials.admin_email,
                    "ZOCO_ADMIN_PASSWORD": self.credentials.admin_password,
                }
            case "notification":
                return {"ZOCO_MAIL_DIR": str(self.home.mail)}
            case "portal":
                return {
                    "ZOCO_PORTAL_HTTP_LISTEN": f"{LOOPBACK}:{self.ports.page}",
                    "ZOCO_EDGE_URL": f"http://{LOOPBACK}:{self.ports.edge}",
                }
            case _:
                return {}


def has_portal() -> bool:
    """Return whether the gateway has a portal to run."""
    return any((PROJECT / "gateway" / name).exists() for name in ("portal.py", "portal/__main__.py"))


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of our environment reaches a service."""
    return {name: value for name, value in environment.items() if name not in _OURS}
