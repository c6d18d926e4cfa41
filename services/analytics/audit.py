"""What analytics tells the audit: the orders its reports are made of."""

from typing import Final

from mesh.audit import Book, Facts, Invariant, Scope
from mesh.audit.facts import Connection

_SALES: Final = "SELECT order_id::text, amount, units FROM sale"
_PLACEMENTS: Final = "SELECT order_id::text, amount FROM placement"


async def examine(connection: Connection, scope: Scope) -> Facts:  # noqa: ARG001 - every service is asked alike
    """What the facts behind the reports say."""
    sales = await (await connection.execute(_SALES)).fetchall()
    placements = await (await connection.execute(_PLACEMENTS)).fetchall()
    return Facts(
        books=[
            Book(
                invariant=Invariant.VIEWS_ARE_FOLDS,
                about="sales",
                keeper="analytics",
                accounts={order_id: (amount, units) for order_id, amount, units in sales},
                nothing=(0, 0),
            ),
            Book(
                invariant=Invariant.VIEWS_ARE_FOLDS,
                about="placements",
                keeper="analytics",
                accounts={order_id: (amount,) for order_id, amount in placements},
                nothing=(0,),
            ),
        ]
    )


async def under_way(connection: Connection) -> int:  # noqa: ARG001 - every service answers it
    """Nothing: what analytics hears, it notes at once."""
    return 0
