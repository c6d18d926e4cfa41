"""`python -m services.payment.reconcile [HOURS]`: one round of reconciliation, in the environment of the service.

It looks back so many hours, 24 if none are given. Exit code 1: a discrepancy is open, or a provider could not be asked.
"""

import asyncio
import sys
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from mesh.clock import utc_now
from mesh.data import Database
from mesh.errors import MeshError
from mesh.logs import configure_logs
from mesh.settings import load_settings
from services.payment import reconciliation_store
from services.payment.reconciliation import Position
from services.payment.settings import PaymentSettings
from services.payment.wiring import wire

DEFAULT_HOURS: Final = 24.0


async def run_once(settings: PaymentSettings, look_back: timedelta) -> int:
    """Runs one round and says in one line what came of it. Returns the exit code."""
    if settings.database_url is None:
        sys.stderr.write("DATABASE_URL: must be set\n")
        return 2
    database = Database(settings.database_url.get_secret_value(), workload="payment")
    wired = wire(settings, database=database, clock=utc_now, registry=CollectorRegistry())
    try:
        outcome, _ = await wired.reconciliation.round(Position(utc_now() - look_back))
        async with database.reading() as connection:
            unresolved = await reconciliation_store.count_unresolved(connection)
    except MeshError as failed:
        sys.stderr.write(f"nothing was reconciled: {failed}\n")
        return 1
    finally:
        for each in wired.closable:
            await each.close()
        await database.drain()
    sys.stdout.write(
        f"reconcile: {outcome.compared} payments compared, {outcome.settled} attempts settled, "
        f"{outcome.left_open} left open, {outcome.unanswered} unanswered, {unresolved} discrepancies\n"
    )
    return 1 if unresolved or outcome.unanswered else 0


def main() -> int:
    """Reads the settings and the hours, and runs. Returns the exit code; 2 if they are wrong."""
    settings = load_settings(PaymentSettings)
    configure_logs(settings, "payment")
    try:
        hours = float(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_HOURS
    except ValueError:
        sys.stderr.write("HOURS: must be a number\n")
        return 2
    return asyncio.run(run_once(settings, timedelta(hours=hours)))


if __name__ == "__main__":
    sys.exit(main())
