"""`python -m cli.audit`: the audit on a schedule, beside the shop that it looks at."""

import asyncio
import os
import signal

from prometheus_client import CollectorRegistry, start_http_server

from cli.audit.metrics import AuditMetrics
from cli.audit.schedule import Schedule, look_in_a_process
from cli.audit.settings import AuditSettings
from mesh.logs import configure_logs

_NICE = 10
"""Whoever buys comes first; the audits inherit it."""


def main() -> None:
    """Audit until SIGTERM or SIGINT."""
    settings = AuditSettings()
    configure_logs(settings, "audit")
    os.nice(_NICE)
    registry = CollectorRegistry()
    metrics = AuditMetrics(registry)
    server, _ = start_http_server(settings.metrics_port, addr="127.0.0.1", registry=registry)
    asyncio.run(_until_stopped(Schedule(look=look_in_a_process, metrics=metrics, every=settings.every)))
    server.shutdown()


async def _until_stopped(schedule: Schedule) -> None:
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    running = asyncio.create_task(schedule.run())
    asked = asyncio.create_task(stopping.wait())
    await asyncio.wait((running, asked), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if running.done():
        running.result()  # it ends by an error only
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


if __name__ == "__main__":
    main()
