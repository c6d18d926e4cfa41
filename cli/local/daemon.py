"""The supervisor of `zoco up --detach`: `python -m cli.local.daemon`, which speaks to its starter in JSON lines."""

import asyncio
import os
import sys
from dataclasses import asdict

from cli.failures import Failure, as_failure
from cli.local.home import Home
from cli.local.lock import HomeLock
from cli.local.machine import Machine
from cli.local.ports import Ports
from cli.local.progress import RelayedProgress
from cli.local.settings import read_settings


def main() -> int:
    """Start everything, tell whoever waits, and stay until told to stop. Return the exit code."""
    relay = RelayedProgress(sys.stdout)

    def when_ready(ports: Ports) -> None:
        relay.send({"ready": True, "ports": asdict(ports)})
        # Whoever waited goes away now; nothing may be written there any more.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)

    try:
        settings = read_settings()
        home = Home(settings.home)
        lock = HomeLock.take(home.lock_file)
        if lock is None:
            relay.send({"another": True})
            return 0
        try:
            asyncio.run(Machine(settings, home, relay).run(when_ready, lambda: None))
        finally:
            lock.release()
    except (Failure, OSError) as error:
        failure = error if isinstance(error, Failure) else as_failure(error)
        if failure is None:
            raise
        relay.send({"failure": str(failure), "details": list(failure.details)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
