"""What product tells the audit: how many pieces of each product it shows as available."""

from typing import Final

from mesh.audit import Book, Facts, Invariant, Scope
from mesh.audit.facts import Connection

_AVAILABLE: Final = "SELECT product_id::text, available FROM availability"


async def examine(connection: Connection, scope: Scope) -> Facts:  # noqa: ARG001 - every service is asked alike
    """What the read model fed by inventory's events says."""
    rows = await (await connection.execute(_AVAILABLE)).fetchall()
    book = Book(
        invariant=Invariant.VIEWS_ARE_FOLDS,
        about="available",
        keeper="product",
        accounts={product_id: (available,) for product_id, available in rows},
        nothing=(0,),
    )
    return Facts(books=[book])


async def under_way(connection: Connection) -> int:  # noqa: ARG001 - every service answers it
    """Nothing: what product hears, it does at once."""
    return 0
