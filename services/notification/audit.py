"""What notification tells the audit: that nobody was told one thing twice."""

from typing import Final

from mesh.audit import Facts, Finding, Invariant, Scope
from mesh.audit.facts import Connection

_TWICE: Final = """
    SELECT event_id, user_id::text, count(*) FROM notification GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1
"""
_TOTAL: Final = "SELECT count(*) FROM notification"


async def examine(connection: Connection, scope: Scope) -> Facts:  # noqa: ARG001 - every service is asked alike
    """What the notifications say."""
    twice = await (await connection.execute(_TWICE)).fetchall()
    total = await (await connection.execute(_TOTAL)).fetchone()
    wrong = [f"{event_id}: {user_id} was told {count} times" for event_id, user_id, count in twice]
    return Facts(findings=[Finding.of(Invariant.DELIVERED_ONCE, int(total[0]) if total else 0, wrong)])


async def under_way(connection: Connection) -> int:  # noqa: ARG001 - every service answers it
    """Nothing that the system waits for: a mail that cannot be sent is tried for a day."""
    return 0
