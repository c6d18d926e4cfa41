"""What inventory tells the audit: whether its stock adds up, who holds pieces, and how many can be bought."""

from typing import Final

from mesh.audit import Book, Facts, Finding, Invariant, Scope
from mesh.audit.facts import Account, Connection

# All of one moment, so it has to be true whatever is under way.
_STOCK: Final = """
    SELECT stock.product_id::text, stock.available, stock.reserved, stock.sold, stock.received, stock.update_time,
        coalesce(came.quantity, 0) AS came, coalesce(lines.reserved, 0) AS held, coalesce(lines.sold, 0) AS left
    FROM stock
    LEFT JOIN (
        SELECT product_id, sum(quantity) AS quantity FROM movement WHERE kind = 'ADJUSTED' GROUP BY 1
    ) AS came USING (product_id)
    LEFT JOIN (
        SELECT product_id,
            sum(quantity) FILTER (WHERE state = 'RESERVED') AS reserved,
            sum(quantity) FILTER (WHERE state = 'COMMITTED') AS sold
        FROM reservation JOIN hold USING (order_id) GROUP BY 1
    ) AS lines USING (product_id)
"""
_LINES: Final = """
    SELECT order_id::text, product_id::text, state, quantity
    FROM reservation JOIN hold USING (order_id) WHERE state <> 'RELEASED'
"""
_HOLDS: Final = "SELECT order_id::text FROM hold WHERE update_time >= %s AND update_time < %s"


async def examine(connection: Connection, scope: Scope) -> Facts:
    """What the tables of inventory say."""
    wrong: list[str] = []
    available: dict[str, Account] = {}
    lately: set[str] = set()
    rows = await (await connection.execute(_STOCK)).fetchall()
    for product_id, free, reserved, sold, received, changed, came, held, left in rows:
        if free + reserved + sold != received or min(free, reserved, sold) < 0:
            wrong.append(f"{product_id}: {free} available + {reserved} reserved + {sold} sold, {received} received")
        elif came != received:
            wrong.append(f"{product_id}: {received} received, and its movements say {came}")
        elif (held, left) != (reserved, sold):
            wrong.append(f"{product_id}: {reserved} reserved and {sold} sold, orders have {held} and {left}")
        available[product_id] = (free,)
        if not scope.is_quiet(changed):
            lately.add(product_id)
    return Facts(
        findings=[Finding.of(Invariant.STOCK_ADDS_UP, len(rows), wrong)],
        books=[
            await _pieces(connection, scope),
            Book(
                invariant=Invariant.VIEWS_ARE_FOLDS,
                about="available",
                keeper="inventory",
                accounts=available,
                nothing=(0,),
                under_way=lately,
            ),
        ],
    )


async def under_way(connection: Connection) -> int:  # noqa: ARG001 - every service answers it
    """Nothing: inventory does what order asks it to."""
    return 0


async def _pieces(connection: Connection, scope: Scope) -> Book:
    """Who has which pieces: reserved and sold, a line of an order each."""
    lines = await (await connection.execute(_LINES)).fetchall()
    lately = await (await connection.execute(_HOLDS, list(scope.lately))).fetchall()
    return Book(
        invariant=Invariant.STOCK_ADDS_UP,
        about="pieces",
        keeper="inventory",
        accounts={
            f"{order_id} {product_id}": (quantity, 0) if state == "RESERVED" else (0, quantity)
            for order_id, product_id, state, quantity in lines
        },
        nothing=(0, 0),
        under_way={row[0] for row in lately},
    )
