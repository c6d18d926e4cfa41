"""Looks for what must never be written down: what was told in confidence, and what has the shape of it (I11)."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from psycopg import sql

from mesh.audit.facts import Connection

SHAPES: Final = {
    "an access token": (b"eyJ", re.compile(rb"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")),
    "a card token": (b"tok_", re.compile(rb"\btok_\w{4,}")),
    "a webhook's secret": (b"whsec_", re.compile(rb"\bwhsec_[A-Za-z0-9+/]{32,}")),
}
"""What is a secret by its shape: the bytes it begins with, by which it is found fast, and what it looks like."""


def secrets_in(content: bytes, secrets: Sequence[bytes]) -> Iterator[str]:
    """What of a secret stands in some bytes, in words that do not repeat it."""
    for name, (beginning, shape) in SHAPES.items():
        if beginning in content and shape.search(content):
            yield name
    if any(secret in content for secret in secrets):
        yield "something that was told in confidence"


async def rows_with_secrets(
    connection: Connection, table: str, key: str, columns: Sequence[str], secrets: Sequence[bytes]
) -> tuple[int, list[str]]:
    """How many rows a table has, and which of them hold a secret.

    Args:
        connection: Where the table is.
        table: Its name.
        key: What to call a row by: an expression, of our own making.
        columns: Where to look; text, JSON or bytes.
        secrets: What must not stand there.
    """
    content = sql.SQL(" || ").join(
        sql.SQL("convert_to({}::text, 'UTF8')").format(sql.Identifier(name.removesuffix("::bytea")))
        if not name.endswith("::bytea")
        else sql.Identifier(name.removesuffix("::bytea"))
        for name in columns
    )
    name = sql.Identifier(table)
    query = sql.SQL(
        "SELECT {key}, content FROM (SELECT *, {content} AS content FROM {table}) AS row "
        "WHERE EXISTS (SELECT FROM unnest(%s::bytea[]) AS needle WHERE position(needle IN content) > 0)"
    ).format(key=sql.SQL(key), content=content, table=name)
    needles = [beginning for beginning, _ in SHAPES.values()] + list(secrets)
    total = await (await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name))).fetchone()
    suspects = await (await connection.execute(query, [needles])).fetchall()
    found = [f"{table} {row}: {what}" for row, content in suspects for what in secrets_in(bytes(content), secrets)]
    return int(total[0]) if total else 0, found
