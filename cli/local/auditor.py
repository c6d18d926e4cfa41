"""The audit beside the shop: how to run it, and where its metrics are."""

import os
import sys

from cli.local.probes import HttpHealth
from cli.local.process import ProcessSpec
from cli.local.shop import Shop
from cli.local.spawning import Program

AUDIT = "audit"
"""The name of the process."""


def audit_process(shop: Shop) -> ProcessSpec:
    """Return how to run the scheduled audit of a shop."""
    port = shop.ports.audit
    own = {
        "ZOCO_HOME": str(shop.home.root),
        "ZOCO_AUDIT_METRICS_PORT": str(port),
        "LOG_LEVEL": shop.settings.log_level,
        "LOG_FORMAT": shop.settings.log_format,
    }
    return ProcessSpec(
        name=AUDIT,
        # Unlike a service it is a command of ours: it gets the environment whole, DATABASE_URL included.
        program=Program((sys.executable, "-m", "cli.audit"), {**os.environ, **own}),
        log=shop.home.log(AUDIT),
        probe=HttpHealth(port, "/metrics"),
        port=port,
        start_seconds=shop.settings.start_timeout,
        probe_seconds=10.0,
    )
