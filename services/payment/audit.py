"""What payment tells the audit: what its tables and the provider's own book say of the money of each order."""

from collections.abc import Set as AbstractSet
from typing import Any, Final

from mesh.audit import Book, Facts, Finding, Invariant, Scope
from mesh.audit.facts import Account, Connection

_PAYMENTS: Final = """
    SELECT order_id::text, state, provider, currency, captured, refunded, update_time,
        NOT (0 <= refunded AND refunded <= captured AND captured <= amount) AS odd
    FROM payment
"""
_TWICE: Final = "SELECT order_id::text, count(*) FROM payment GROUP BY 1 HAVING count(*) > 1"
_LEDGER: Final = """
    SELECT reference,
        count(*) FILTER (WHERE operation = 'AUTHORIZE') AS held,
        count(*) FILTER (WHERE operation = 'VOID') AS voided,
        count(*) FILTER (WHERE operation = 'CAPTURE') AS captures,
        coalesce(sum(amount) FILTER (WHERE operation = 'CAPTURE'), 0)::bigint AS captured,
        coalesce(sum(amount) FILTER (WHERE operation = 'REFUND'), 0)::bigint AS refunded,
        coalesce(max(currency) FILTER (WHERE operation = 'CAPTURE'), '') AS currency,
        max(create_time) AS changed
    FROM sandbox.ledger WHERE outcome = 'OK' GROUP BY 1
"""
_HAS_DISCREPANCIES: Final = "SELECT to_regclass('discrepancy') IS NOT NULL"
_DISCREPANCIES: Final = """
    SELECT payment_id::text, kind, ours::text, theirs::text FROM discrepancy WHERE resolved_at IS NULL ORDER BY 1
"""

OPEN: Final = frozenset({"PENDING", "AUTHORIZED"})
"""States in which an amount is held on a card, or may be."""


async def examine(connection: Connection, scope: Scope) -> Facts:
    """What the tables of payment and the sandbox's book say."""
    payments = await (await connection.execute(_PAYMENTS)).fetchall()
    entries = await (await connection.execute(_LEDGER)).fetchall()
    twice = await (await connection.execute(_TWICE)).fetchall()
    moving = {str(row[0]) for row in payments if not scope.is_quiet(row[6])}
    moving |= {str(row[0]) for row in entries if not scope.is_quiet(row[7])}
    wrong = [f"{order_id}: {count} payments" for order_id, count in twice]
    wrong += [f"{row[0]}: its payment does not add up" for row in payments if row[7]]
    wrong += [f"{row[0]}: charged {row[3]} times" for row in entries if row[3] > 1]
    wrong += [f"{row[0]}: the provider gave back more than it took" for row in entries if row[5] > row[4]]
    wrong += await _discrepancies(connection)
    return Facts(
        findings=[Finding.of(Invariant.MONEY_AGREES, len(payments) + len(entries), wrong)],
        books=[*_ours(payments, moving), *_providers(payments, entries, moving)],
    )


async def under_way(connection: Connection) -> int:  # noqa: ARG001 - every service answers it
    """Nothing: payment does what order asks it to."""
    return 0


def _ours(payments: list[tuple[Any, ...]], moving: AbstractSet[str]) -> list[Book]:
    money: dict[str, Account] = {}
    charged: dict[str, Account] = {}
    holds: dict[str, Account] = {}
    for order_id, state, _, currency, captured, refunded, *_ in payments:
        money[order_id] = (captured, refunded, currency if captured else "")
        if captured or state in OPEN:
            charged[order_id] = (True,)
        if state in OPEN:
            holds[order_id] = (1,)
    return _books("payment", money, charged, holds, moving, complete=True)


def _providers(payments: list[tuple[Any, ...]], entries: list[tuple[Any, ...]], moving: AbstractSet[str]) -> list[Book]:
    """The sandbox's book; of payments that another provider made it says nothing."""
    money: dict[str, Account] = {str(row[0]): (0, 0, "") for row in payments if row[2] == "sandbox"}
    charged: dict[str, Account] = {}
    holds: dict[str, Account] = dict.fromkeys(money, (0,))
    for order_id, held, voided, captures, captured, refunded, currency, _ in entries:
        money[order_id] = (captured, refunded, currency)
        is_open = bool(held and not voided and not captures)
        holds[order_id] = (int(is_open),)
        if captures or is_open:
            charged[order_id] = (True,)
    return _books("the provider", money, charged, holds, moving, complete=False)


def _books(
    keeper: str,
    money: dict[str, Account],
    charged: dict[str, Account],
    holds: dict[str, Account],
    moving: AbstractSet[str],
    *,
    complete: bool,
) -> list[Book]:
    def book(invariant: Invariant, about: str, accounts: dict[str, Account], nothing: Account, *, whole: bool) -> Book:
        return Book(
            invariant=invariant,
            about=about,
            keeper=keeper,
            accounts=accounts,
            nothing=nothing,
            complete=whole,
            under_way=moving,
        )

    return [
        book(Invariant.MONEY_AGREES, "money", money, (0, 0, ""), whole=complete),
        book(Invariant.NO_STRAY_CHARGE, "orders", charged, (False,), whole=False),
        book(Invariant.NO_STRAY_CHARGE, "holds", holds, (0,), whole=complete),
    ]


async def _discrepancies(connection: Connection) -> list[str]:
    """What the reconciliation with a provider found and nobody has resolved, where there is one."""
    there = await (await connection.execute(_HAS_DISCREPANCIES)).fetchone()
    if not (there and there[0]):
        return []
    rows = await (await connection.execute(_DISCREPANCIES)).fetchall()
    return [f"{payment_id}: {kind}: ours {ours}, theirs {theirs}" for payment_id, kind, ours, theirs in rows]
