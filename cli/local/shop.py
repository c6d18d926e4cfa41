"""The shop's own processes: every service, the portal and the edge, and the environment each gets."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from cli.local.broker import nats_url
from cli.local.credentials import Credentials, Secrets
from cli.local.envoy import drain
from cli.local.home import Home
from cli.local.inner import inner_directory
from cli.local.portcheck import LOOPBACK
from cli.local.ports import Ports, Slot
from cli.local.postgres import Database
from cli.local.probes import GrpcHealth
from cli.local.process import ProcessSpec
from cli.local.settings import LocalSettings
from cli.local.spawning import Program
from mesh import wellknown
from mesh.sidecar import SERVICE, SIDECAR
from mesh.tuning import Tuning

PROBE_IDENTITY = "cli"
# Settings of ours that would mean something else, or too much, to a service.
_OURS = frozenset({"ZOCO_HOME", "ZOCO_REPLICAS", "ZOCO_ENVOY", "MESH", "ZOCO_MESH", "DATABASE_URL", "NATS_URL"})


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
    tuning: Tuning
    """What `settings.tuning` holds: edge and sidecars are made of it, services read the file."""

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
        """Return how to run every service, and the portal."""
        return [self._process(slot) for slot in self._started()]

    def behind_sidecars(self) -> list[Slot]:
        """Return the processes that are started here and have a sidecar.

        The portal has none: it asks every single process how it is, and a sidecar's balancing would hide which answers.
        """
        return [slot for slot in self._started() if self._has_sidecar(slot)]

    def _has_sidecar(self, slot: Slot) -> bool:
        return self.settings.mesh == "envoy" and slot.workload != wellknown.PORTAL

    def _started(self) -> list[Slot]:
        started = {*self.services, wellknown.PORTAL}
        return [slot for slot in self.places if slot.workload in started]

    def _process(self, slot: Slot) -> ProcessSpec:
        module = "gateway.portal" if slot.workload == wellknown.PORTAL else f"services.{slot.workload}"
        port, identity, before_stop = self.ports.services[slot.process], self.home.pki / PROBE_IDENTITY, None
        if self._has_sidecar(slot):
            port, identity = self.ports.inner[slot.process], inner_directory(self.home.pki, slot.workload, SIDECAR)
            # The mesh is kept away and its calls are waited for. The service's own calls still go out: its sidecar ends
            # after it.
            before_stop = partial(drain, self.ports.sidecar_admin[slot.process], "inbound", inbound_only=True)
        return ProcessSpec(
            name=slot.process,
            program=Program((sys.executable, "-m", module), self._environment(slot)),
            log=self.home.log(slot.process),
            probe=GrpcHealth(port, identity),
            port=port,
            start_seconds=self.settings.start_timeout,
            before_stop=before_stop,
        )

    def _environment(self, slot: Slot) -> dict[str, str]:
        own = {
            "ZOCO_ENV": self.settings.env,
            "ZOCO_TUNING": str(self.settings.tuning),
            "ZOCO_METRICS_LISTEN": f"{LOOPBACK}:{self.ports.metrics[slot.process]}",
            "LOG_LEVEL": self.settings.log_level,
            "LOG_FORMAT": self.settings.log_format,
            **(self._behind_sidecar(slot) if self._has_sidecar(slot) else self._in_the_mesh(slot)),
            **self._special(slot.workload),
        }
        if slot.workload in self.secrets.databases:
            own["DATABASE_URL"] = self.database.of(slot.workload, self.secrets.databases[slot.workload])
        if slot.workload in self.secrets.brokers:
            own["NATS_URL"] = self._broker(slot.workload)
        return {**inherited(os.environ), **own}

    def _in_the_mesh(self, slot: Slot) -> dict[str, str]:
        return {
            "ZOCO_MESH": "inprocess",
            "ZOCO_LISTEN": f"{LOOPBACK}:{self.ports.services[slot.process]}",
            "ZOCO_PKI_DIR": str(self.home.pki / slot.workload),
            "ZOCO_PEERS": json.dumps(self.peers()),
        }

    def _behind_sidecar(self, slot: Slot) -> dict[str, str]:
        """Return what a process is told that never sees its workload's key, nor where its neighbours are."""
        return {
            "ZOCO_MESH": "envoy",
            "ZOCO_LISTEN": f"{LOOPBACK}:{self.ports.inner[slot.process]}",
            "ZOCO_SIDECAR": f"{LOOPBACK}:{self.ports.outbound[slot.process]}",
            "ZOCO_PKI_DIR": str(inner_directory(self.home.pki, slot.workload, SERVICE)),
        }

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
                return {"ZOCO_MAIL_DIR": str(self.home.mail), "ZOCO_WEBHOOK_KEYS": self.secrets.webhooks}
            case wellknown.PORTAL:
                return {
                    "ZOCO_PORTAL_HTTP_LISTEN": f"{LOOPBACK}:{self.ports.page}",
                    "ZOCO_EDGE_URL": f"http://{LOOPBACK}:{self.ports.edge}",
                }
            case _:
                return {}


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of our environment reaches a service."""
    return {name: value for name, value in environment.items() if name not in _OURS}
