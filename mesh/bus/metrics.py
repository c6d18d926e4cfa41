"""What the bus counts, and how far behind it is."""

import asyncio
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy import text

from mesh.data.database import Database
from mesh.data.failures import DatabaseBusy
from mesh.errors import Unavailable
from mesh.logs import logger

INTERVAL: Final = 5.0
"""Seconds between two looks at the backlog."""

AGE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper bounds in seconds."""

# Each part is one step into a small index, however long the tables have grown.
_BACKLOG: Final = text(
    """
    SELECT
        (SELECT extract(epoch FROM clock_timestamp() - time)::float FROM outbox
         WHERE published_at IS NULL ORDER BY id LIMIT 1) AS lag,
        (SELECT count(*) FROM dead_letter WHERE dead_at IS NOT NULL) AS dead
    """
)


class BusMetrics:
    """The instruments of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.outbox_lag = Gauge(
            "outbox_lag_seconds", "Age of the oldest event that is not published yet.", registry=registry
        )
        self.dead_letters = Gauge("dead_letters", "Events that were given up and wait for a person.", registry=registry)
        self.published = Counter("events_published_total", "Events the broker acknowledged.", registry=registry)
        self.strange = Counter(
            "events_unknown_to_outbox",
            "Events at the broker that the outbox does not know: a database older than it was.",
            registry=registry,
        )
        self.handled = Counter("events_handled_total", "Events that took effect here.", ["type"], registry=registry)
        self.failed = Counter(
            "events_failed_total", "Tries to handle an event that failed.", ["type"], registry=registry
        )
        self.age = Histogram(
            "event_age_seconds",
            "Time from when an event happened until it took effect here: the consumer's lag.",
            ["type"],
            buckets=AGE_BUCKETS,
            registry=registry,
        )


async def watch_backlog(database: Database, metrics: BusMetrics) -> None:
    """Looks now and then how far behind the outbox is; the last figures stand while the database is away."""
    log = logger("backlog")
    while True:
        try:
            async with database.reading() as connection:
                row = (await connection.execute(_BACKLOG)).one()
            metrics.outbox_lag.set(max(row.lag or 0.0, 0.0))
            metrics.dead_letters.set(row.dead)
        except (Unavailable, DatabaseBusy) as error:
            log.info("backlog unknown", error=str(error))
        await asyncio.sleep(INTERVAL)
