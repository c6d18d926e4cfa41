"""Brings the whole system up in one process's care, and down again."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from cli.failures import Failure, PortTaken
from cli.local import catalog, migrations, pki
from cli.local.auditor import audit_process
from cli.local.broker import authorization, nats_process
from cli.local.control import ControlServer
from cli.local.credentials import credentials, passwords
from cli.local.edge import edge_process
from cli.local.home import Home
from cli.local.inner import issue_inner
from cli.local.leftovers import end_leftovers
from cli.local.numbers import read_tuning
from cli.local.ports import Ports, Slot, plan, slots
from cli.local.postgres import Database, ensure_cluster, ensure_databases, local_database, postgres_process
from cli.local.process import ProcessSpec
from cli.local.progress import Progress, Step, step
from cli.local.renewal import keep_renewed
from cli.local.reservation import Reservation, every_port
from cli.local.runfile import Recorded, read_run_state
from cli.local.settings import PROJECT, LocalSettings
from cli.local.shop import PROBE_IDENTITY, Shop, inherited
from cli.local.sidecars import sidecar_processes
from cli.local.spawning import ForkSpawner
from cli.local.supervisor import Supervisor, as_rows
from mesh.tuning import Tuning
from mesh.wellknown import PORTAL

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RESERVE_ATTEMPTS = 5
_IDENTITIES = ("edge", PORTAL, "operator", PROBE_IDENTITY)


class Machine:
    """One home's system. Whoever calls `run` holds the home's lock."""

    def __init__(self, settings: LocalSettings, home: Home, progress: Progress) -> None:
        """Run what `settings` ask for under `home`, telling `progress`."""
        self._settings = settings
        self._home = home
        self._progress = progress
        self._supervisor: Supervisor | None = None
        self._ports: Ports | None = None
        self._spawner = ForkSpawner(inherited(os.environ), home.log("supervisor"))
        self._reservation: Reservation | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._ready = False
        self._stop = asyncio.Event()

    async def run(self, when_ready: Callable[[Ports], None], when_stopping: Callable[[], None]) -> None:
        """Start everything, call `when_ready`, stay until told to stop (signal or control socket), stop everything.

        Raises:
            Failure: it could not be started; what had been is stopped again.
        """
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            control = ControlServer(self._home.control_socket, self._answer)
            await control.open()
            stack.push_async_callback(control.close)
            stack.push_async_callback(self._drain)
            starting = asyncio.create_task(self._start(), name="start")
            stopped = asyncio.create_task(self._stop.wait(), name="stop asked for")
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            else:
                when_ready(await starting)
                self._ready = True
                await stopped
            when_stopping()

    async def _start(self) -> Ports:
        tuning = await asyncio.to_thread(read_tuning, self._settings)
        previous = read_run_state(self._home.run_file)
        if previous is not None and any(record.process() for record in previous.processes):
            with step(self._progress, "leftovers of a killed run") as current:
                current.detail = f"ended {', '.join(await asyncio.to_thread(end_leftovers, previous))}"
        workloads = catalog.workloads()
        names = self._chosen(catalog.runnable(workloads))
        # Places are given out over the whole contract: a service keeps its port whatever else is started, and the
        # edge has a route to one that is not.
        places = slots(workloads, self._settings.replicas)
        last = previous.ports if previous else None
        ours = self._settings.database_url is None, self._settings.nats_url is None
        ports = self._reserve(lambda: plan(self._settings, places, last, database=ours[0], broker=ours[1]))
        if names and self._settings.preload:
            await self._spawner.open()
        shop = self._shop(ports, places, names, tuning)
        with step(self._progress, "identities") as current:
            issued = await asyncio.to_thread(pki.ensure_pki, self._home.pki, [*names, *_IDENTITIES])
            current.detail = f"{len(issued)} certificates issued" if issued else "certificates are fresh"
            if self._settings.mesh == "envoy":
                await asyncio.to_thread(issue_inner, self._home.pki, names)
        self._renewal = asyncio.create_task(self._keep_keys([*names, *_IDENTITIES, pki.EDGE_TLS]), name="renew keys")
        self._ports = ports
        self._supervisor = Supervisor(
            self._home.run_file,
            ports,
            Recorded.of("supervisor", os.getpid(), sys.executable),
            self._spawner,
            self._settings.restart_backoff_most,
        )
        edge = asyncio.create_task(asyncio.to_thread(edge_process, shop)) if names else None
        try:
            await self._start_data(shop)
            if names:
                await self._start_shop(shop, [await edge] if edge else [])
        finally:
            if edge is not None:
                await asyncio.gather(edge, return_exceptions=True)
        return ports

    def _reserve(self, choose: Callable[[], Ports]) -> Ports:
        """Return chosen ports once they are ours: another shop may choose the same ones at the same moment."""
        for _ in range(_RESERVE_ATTEMPTS):
            ports = choose()
            with contextlib.suppress(PortTaken):
                self._reservation = Reservation(every_port(ports))
                return ports
        ports = choose()
        self._reservation = Reservation(every_port(ports))
        return ports

    def _chosen(self, names: list[str]) -> list[str]:
        wanted = self._settings.services
        unknown = sorted(set(wanted or ()) - set(names))
        if unknown:
            raise Failure(f"ZOCO_SERVICES names {unknown[0]}, but the services are {', '.join(names)}.")
        return names if wanted is None else [name for name in names if name in wanted]

    def _shop(self, ports: Ports, places: list[Slot], names: list[str], tuning: Tuning) -> Shop:
        secrets = passwords(self._home, names)
        external, broker = self._settings.database_url, self._settings.nats_url
        return Shop(
            settings=self._settings,
            home=self._home,
            ports=ports,
            places=places,
            services=names,
            credentials=credentials(self._home),
            secrets=secrets,
            database=Database(external.get_secret_value())
            if external
            else local_database(ports.postgres, secrets.postgres),
            nats_url=broker.get_secret_value() if broker else None,
            tuning=tuning,
        )

    async def _start_data(self, shop: Shop) -> None:
        limit = self._settings.start_timeout
        stages: dict[str, ProcessSpec] = {}
        if self._settings.database_url is None:
            if not self._home.postgres.exists():
                with step(self._progress, "new database cluster"):
                    await ensure_cluster(self._home, shop.secrets.postgres)
            else:
                await ensure_cluster(self._home, shop.secrets.postgres)
            stages["PostgreSQL"] = postgres_process(self._home, shop.ports.postgres, start_seconds=limit)
        if self._settings.nats_url is None:
            ports = shop.ports
            accounts = authorization(catalog.events(), shop.secrets.nats, shop.secrets.brokers)
            stages["NATS"] = nats_process(self._home, ports.nats, ports.nats_monitor, accounts, start_seconds=limit)
        if stages:
            with step(self._progress, " and ".join(stages)) as current:
                await self._supervised().start(*([spec] for spec in stages.values()))
                current.detail = ", ".join(f"port {spec.port}" for spec in stages.values())
        with step(self._progress, "databases") as current:
            wanted = {name: shop.secrets.databases[name] for name in shop.services}
            made = await asyncio.to_thread(ensure_databases, shop.database, wanted)
            current.detail = f"{len(made)} made" if made else "all there"
        with step(self._progress, "migrations") as current:
            urls = {name: shop.database.of(name, password) for name, password in wanted.items()}
            pending = await asyncio.to_thread(migrations.pending, urls)
            if pending:
                current.update(", ".join(pending))
                await self._command("migrate", *pending)
            current.detail = f"applied to {', '.join(pending)}" if pending else "nothing to do"

    async def _start_shop(self, shop: Shop, edge: list[ProcessSpec]) -> None:
        # Stopped in the opposite order: a sidecar takes its service's calls to the end.
        stages = [await asyncio.to_thread(sidecar_processes, shop), shop.processes(), edge, [audit_process(shop)]]
        with step(self._progress, "services and edge" if edge else "services") as current:
            total = sum(map(len, stages))
            watching = asyncio.create_task(self._count(current, total), name="count healthy")
            try:
                await self._supervised().start(*stages)
            finally:
                watching.cancel()
            current.detail = f"{total} healthy"
        files = sorted((PROJECT / "catalog").glob("*.csv"))
        if files and self._sells(shop, edge) and not self._home.seeded_file.exists():
            with step(self._progress, "sample catalog") as current:
                for file in files:
                    current.update(file.name)
                    current.detail = await self._command("import", str(file))
                self._home.seeded_file.touch()

    def _sells(self, shop: Shop, edge: list[ProcessSpec]) -> bool:
        """Whether the sample catalog is wanted and can be loaded: through the edge, as the administrator."""
        needed = {"user", "product", "inventory"} <= set(shop.services)
        return self._settings.sample_catalog and needed and bool(edge)

    async def _count(self, current: Step, total: int) -> None:
        supervisor = self._supervised()
        while True:
            rows = supervisor.report()
            waiting = [row.process for row in rows if row.state != "healthy"]
            current.update(f"{total - len(waiting)} of {total} healthy, waiting for {', '.join(waiting)}")
            await asyncio.sleep(0.1)

    async def _command(self, *arguments: str) -> str:
        """Run a command of ours in a process of its own, whose memory goes when it ends; return its last line.

        Raises:
            Failure: it failed; with its own sentence.
        """
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=PROJECT,
            env={**os.environ, "ZOCO_HOME": str(self._home.root)},
            start_new_session=True,
        )
        try:
            output, errors = await child.communicate()
        except asyncio.CancelledError:
            child.kill()
            await child.wait()
            raise
        if child.returncode:
            lines = errors.decode(errors="replace").strip().splitlines()
            sentence = lines[-1] if lines else f"exit code {child.returncode}"
            raise Failure(f"`zoco {' '.join(arguments)}` failed: {sentence}", details=tuple(lines[:-1]))
        written = output.decode(errors="replace").strip().splitlines()
        return written[-1] if written else ""

    def _supervised(self) -> Supervisor:
        if self._supervisor is None:
            raise AssertionError("the supervisor is made before anything is started")
        return self._supervisor

    async def _keep_keys(self, names: list[str]) -> None:
        lead = timedelta(seconds=self._settings.signing_key_lead_seconds)
        await keep_renewed(self._home.pki, names, lead, lambda done: print(f"keys: {done}", file=sys.stderr))

    async def _drain(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        if self._supervisor is not None:
            await self._supervisor.drain()
        await self._spawner.close()
        if self._reservation is not None:
            self._reservation.close()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the control socket."""
        match request:
            case {"request": "status"}:
                rows = self._supervisor.report() if self._supervisor else []
                return {
                    "phase": self._phase(),
                    "pid": os.getpid(),
                    "mesh": self._settings.mesh,
                    "ports": asdict(self._ports) if self._ports else None,
                    "forkServerPid": self._spawner.pid,
                    "processes": as_rows(rows),
                }
            case {"request": "stop"}:
                self._stop.set()
                return {"pid": os.getpid()}
            case _:
                return {"error": "unknown request"}

    def _phase(self) -> str:
        if self._stop.is_set():
            return "stopping"
        return "running" if self._ready else "starting"
