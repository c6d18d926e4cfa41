"""One way to run a service: settings, identity, database, broker, pipeline, health, and a graceful end.

Production and tests share `start`; `run` adds the process around it.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

import uvloop
from prometheus_client import start_http_server

from mesh.background import Background, end
from mesh.bus.consumer import consumers
from mesh.bus.contract import load_events
from mesh.bus.metrics import BusMetrics, watch_backlog
from mesh.bus.nats import NatsBus
from mesh.bus.port import BusUnavailable
from mesh.bus.relay import Relay
from mesh.bus.retries import Retries
from mesh.bus.revocations import RevocationFollower
from mesh.certificates import spiffe_id
from mesh.clock import Clock, utc_now
from mesh.credentials import BadCredentials
from mesh.data.connections import Limits
from mesh.data.database import Database
from mesh.data.idempotency import lookup
from mesh.data.schema import migrations_of, schema_probe
from mesh.data.wakes import Wakes
from mesh.health import Health, Probe
from mesh.logs import JsonLog, configure_logs, logger
from mesh.metrics import Metrics
from mesh.pipeline import Capacity, PipelineCompiler
from mesh.pipeline.cache import is_cached
from mesh.policy import Policy, load_policy
from mesh.revocation import Revocations
from mesh.runtime import Build, Runtime, Service, SettingsT
from mesh.scheduling import run_in_batches
from mesh.server import MissingHandler, build_server
from mesh.settings import MeshSettings, load_settings
from mesh.sidecar import SERVICE, inner_id, workload_behind
from mesh.token_keys import no_keys, remote_keys
from mesh.tokens import FetchKeys, KeySet, TokenVerifier
from mesh.tracing import configure_tracing
from mesh.tuning import TuningError, load_tuning

CATCH_UP_SECONDS: Final = 1.0
"""How long a start waits to know whose tokens were revoked lately. It does not wait for a broker that is away."""

__all__ = ["Build", "MissingHandler", "Running", "Runtime", "Service", "run", "start"]


class Running:
    """A service that serves, until it is stopped."""

    def __init__(
        self,
        port: int,
        health: Health,
        runtime: Runtime[Any],
        loops: Sequence[asyncio.Task[None]],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        self.port = port
        self.health = health
        self.runtime = runtime
        self._loops = loops
        self._stop = stop

    async def until_broken(self) -> None:
        """Waits until one of the service's loops ends, which none should: the process is then better started anew."""
        await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Drains and ends the service: reports NOT_SERVING, lets calls end, then closes what they used."""
        await self._stop()


async def start(
    workload: str,
    build: Build[SettingsT],
    settings: SettingsT,
    *,
    clock: Clock = utc_now,
    json_log: JsonLog | None = None,
) -> Running:
    """Starts a service and returns when it takes calls.

    Args:
        workload: Its name.
        build: Its constructor.
        settings: What it was told.
        clock: What time it is.
        json_log: Where the access log is rendered to directly; from `configure_logs`.

    Raises:
        OSError: Its address is taken.
        BadCredentials: Its certificate is not its own, or cannot be used now; says who, why and until when.
        MissingHandler: It does not serve all that the contract says.
        TuningError: Its tuning file breaks a rule, or has no number for a limit of the contract.
    """
    policy = load_policy(settings.descriptors)
    metrics = Metrics()
    tuning = load_tuning(settings.tuning)
    background = Background()
    capacity = Capacity.of(tuning, settings.env, metrics, background.__len__)
    async with AsyncExitStack() as started:
        bus: NatsBus | None = None
        if settings.nats_url:
            bus = NatsBus(settings.nats_url, name=workload)
            await bus.start()
            started.push_async_callback(bus.close)
        wakes = Wakes(workload, bus)
        if bus is not None:
            await bus.listen(wakes.subject, wakes.heard)
        revocations = Revocations()
        # The broker lets nobody else hear those events.
        follower = await _follow(bus if policy.verifies_tokens(workload) else None, revocations, settings, started)
        _require_rates(policy, workload, capacity)
        if any(is_cached(method) for method in policy.of_workload(workload)):
            wakes.on_change(capacity.answers.invalidate)
        database: Database | None = None
        database_url = settings.database_url.get_secret_value() if settings.database_url else ""
        if database_url:
            limits = Limits(pool_size=settings.database_pool_size)
            database = Database(database_url, workload=workload, limits=limits, waker=wakes, clock=clock)
            started.push_async_callback(database.drain)
        runtime = Runtime(
            settings,
            policy=policy,
            retry=tuning.retry,
            metrics=metrics,
            database=database,
            wakes=wakes,
            background=background,
            clock=clock,
            log=logger(workload),
        )
        started.push_async_callback(runtime.close_channels)
        service = await build(runtime)

        health = Health(
            policy.workloads[workload].services if workload in policy.workloads else (),
            {} if database is None else {"database": database.ping, "schema": _schema(workload, database)},
            # Without the broker, events wait in the outbox and everything else goes on.
            wishes={} if bus is None else {"broker": partial(_require_connection, bus)},
        )
        keys = KeySet(service.token_keys or _keys_of_contract(runtime))
        compiler = PipelineCompiler(
            metrics,
            TokenVerifier(
                keys, issuer=settings.token_issuer, audience=settings.token_audience, revocations=revocations
            ),
            None if database is None else partial(lookup, database),
            capacity,
            json_log,
        )
        server, port = build_server(
            workload,
            policy=policy,
            compiler=compiler,
            servicers=service.servicers,
            health=health,
            pki_dir=settings.pki_dir,
            listen=settings.listen,
            who=spiffe_id(workload) if settings.mesh == "inprocess" else inner_id(workload, SERVICE),
            identify=workload_behind(workload) if settings.mesh == "envoy" else None,
        )
        loops: list[Coroutine[Any, Any, None]] = [
            health.watch_probes(),
            capacity.load.watch(),
            *(task() for task in service.tasks),
        ]
        if database is not None and bus is not None:
            loops += _exchange(workload, database_url, database, bus, BusMetrics(metrics.registry), service)
        await health.probe()
        await _catch_up(follower)
        await server.start()
        tasks = [asyncio.create_task(loop) for loop in loops]
        for task in tasks:
            task.add_done_callback(_report_death)
        resources = started.pop_all()

    async def stop() -> None:
        await health.drain()
        await asyncio.sleep(settings.drain_seconds)
        wakes.close()
        await server.stop(settings.grace_seconds)
        await end(tasks)
        await background.drain(settings.grace_seconds)
        await resources.aclose()

    return Running(port, health, runtime, tasks, stop)


def _require_rates(policy: Policy, workload: str, capacity: Capacity) -> None:
    """Tells now, not at the first call, that the tuning lacks a number."""
    for method in policy.of_workload(workload):
        for limit in method.rate_limits:
            capacity.rate_limits.rate_of(limit)


async def _follow(
    bus: NatsBus | None, revocations: Revocations, settings: MeshSettings, started: AsyncExitStack
) -> RevocationFollower | None:
    """Begins to hear whose tokens are revoked, where there is a broker and the contract has events that say so."""
    contract = load_events(settings.descriptors)
    if bus is None or not contract.revoking:
        return None
    follower = RevocationFollower(bus, revocations, contract=contract, descriptors=settings.descriptors)
    await follower.listen()
    task = asyncio.create_task(follower.run(), name="revocations")
    task.add_done_callback(_report_death)
    started.push_async_callback(end, [task])
    return follower


async def _catch_up(follower: RevocationFollower | None) -> None:
    if follower is not None and not await follower.caught_up(CATCH_UP_SECONDS):
        logger("process").warning("the broker is away: tokens that were revoked lately work until it is back")


def _exchange(
    workload: str, url: str, database: Database, bus: NatsBus, metrics: BusMetrics, service: Service
) -> list[Coroutine[Any, Any, None]]:
    """The loops that tell the service's events to others, and those of others to it."""
    relay = Relay(url, bus, workload=workload, metrics=metrics)
    database.on_events(relay.wake)
    handling = consumers(database, bus, workload=workload, subscriptions=service.subscriptions, metrics=metrics)
    retries = Retries(database, workload=workload, subscriptions=service.subscriptions, metrics=metrics)
    return [relay.run(), watch_backlog(database, metrics), retries.run(), *(each.run() for each in handling)]


def run(workload: str, build: Build[SettingsT], *, settings: type[SettingsT]) -> None:
    """Runs a service as a process until SIGTERM or SIGINT. Exit code 2: settings are wrong; 1: it cannot start."""
    run_in_batches()
    loaded = load_settings(settings)
    json_log = configure_logs(loaded, workload)
    tracing = configure_tracing(loaded, workload)
    try:
        sys.exit(uvloop.run(_serve(workload, build, loaded, json_log)))
    finally:
        tracing.shutdown()
        if json_log is not None:
            json_log.lines.flush()


async def _serve(workload: str, build: Build[SettingsT], settings: SettingsT, json_log: JsonLog | None) -> int:
    log = logger("process")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    try:
        running = await start(workload, build, settings, json_log=json_log)
        metrics_server, _ = start_http_server(*_split(settings.metrics_listen), registry=running.runtime.registry)
    except (OSError, MissingHandler, BadCredentials, TuningError) as refused:
        log.error("cannot start", reason=str(refused))  # noqa: TRY400 - one sentence; a stack would say no more
        return 1
    log.info("serving", address=settings.listen, metrics=settings.metrics_listen)
    asked = asyncio.create_task(stopping.wait())
    broken = asyncio.create_task(running.until_broken())
    await asyncio.wait((asked, broken), return_when=asyncio.FIRST_COMPLETED)
    log.info("draining", reason="asked to" if asked.done() else "a loop of the service died")
    await running.stop()
    metrics_server.shutdown()
    log.info("stopped")
    return 0 if asked.done() else 1


def _schema(workload: str, database: Database) -> Probe:
    return schema_probe(migrations_of(workload), database)


async def _require_connection(bus: NatsBus) -> None:
    if not bus.connected:
        raise BusUnavailable("not connected to the broker")


def _keys_of_contract(runtime: Runtime[Any]) -> FetchKeys:
    method = runtime.policy.token_keys
    if method is None:
        return no_keys
    return remote_keys(runtime.channel(method.workload), method, runtime.settings.descriptors)


def _report_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger("process").error("a loop of the service died", loop=task.get_name(), exc_info=error)


def _split(address: str) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    return int(port), host.strip("[]")
