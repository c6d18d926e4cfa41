"""What a service does with its connections: none idle within a transaction, none beyond its pools (I10)."""

from typing import Final

from mesh.audit.facts import Connection, Finding, Scope
from mesh.audit.invariants import Invariant

IDLE_SECONDS: Final = 5.0
"""How long a transaction may stand idle: it makes no call to anybody, so it only ever waits for its own process."""

# A role sees all of its own sessions. The audit's are its own.
_SESSIONS: Final = """
    SELECT pid, application_name,
        CASE WHEN state LIKE 'idle in transaction%%'
             THEN extract(epoch FROM clock_timestamp() - state_change)::float ELSE 0 END AS idle
    FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name <> 'audit'
        AND backend_type = 'client backend'
    ORDER BY pid
"""


async def examine(connection: Connection, service: str, scope: Scope) -> list[Finding]:
    """Looks at the sessions of a service."""
    sessions = await (await connection.execute(_SESSIONS)).fetchall()
    wrong = [
        f"{service}: session {pid} ({application}) idle in a transaction for {idle:.0f} s"
        for pid, application, idle in sessions
        if idle > IDLE_SECONDS
    ]
    counts: dict[str, int] = {}
    for _, application, _ in sessions:
        counts[application] = counts.get(application, 0) + 1
    wrong += [
        f"{service}: {counts[application]} connections of {application}, at most {most}"
        for application, most in scope.connections.items()
        if counts.get(application, 0) > most
    ]
    return [Finding.of(Invariant.NO_LEAK_OF_CONNECTIONS, len(sessions), wrong)]
