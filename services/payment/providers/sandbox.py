"""The sandbox: a provider with a durable book of its own, whose tokens behave as their names say.

It shares nothing with payments but the database server: its own schema, its own transactions. What it has written down
has happened, whether or not anybody heard the answer.

| token | what happens |
|---|---|
| tok_visa | works |
| tok_declined, tok_insufficient_funds | declined when the amount is to be held |
| tok_error_once | the first authorization fails without effect, the next works |
| tok_charged_then_timeout | the capture takes effect, then its answer is lost |
| tok_slow | the authorization takes three seconds |
| any other | declined: invalid_token |
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from sqlalchemy import Select, case, func, select, text
from sqlalchemy.dialects.postgresql import insert

from mesh.clock import Clock
from mesh.data import CommitUnknown, Database, Transaction
from mesh.errors import MeshError
from mesh.money import Money
from services.payment.providers.port import (
    Account,
    Authorization,
    Declined,
    NotDone,
    OutcomeUnknown,
    Report,
    Request,
    SignatureInvalid,
    Statement,
)
from services.payment.tables import ledger, stumble

T = TypeVar("T")

OK: Final = "OK"
NO_CURRENCY: Final = "XXX"
"""ISO 4217: no currency is involved."""

GONE: Final = "voided"
"""Why an authorization is declined whose order was voided before."""

SIGNATURE_HEADER: Final = "zoco-signature"
"""`t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`."""

SIGNATURE_AGE: Final = timedelta(minutes=5)
SLOW_SECONDS: Final = 3.0

_DECLINES: Final[Mapping[str, str]] = {
    "tok_declined": "card_declined",
    "tok_insufficient_funds": "insufficient_funds",
}
_GOOD: Final = frozenset({"tok_visa", "tok_error_once", "tok_charged_then_timeout", "tok_slow"})


@dataclass(frozen=True, slots=True)
class _Entry:
    operation: str
    reference: str
    token: str
    amount: Money
    outcome: str


class Sandbox:
    """The sandbox provider.

    Args:
        database: The server its book is kept on.
        clock: What entries are dated by, and reports judged by.
        webhook_secret: What its reports are signed with.
        slow_seconds: How long `tok_slow` takes.
    """

    name: Final = "sandbox"

    def __init__(
        self, database: Database, *, clock: Clock, webhook_secret: str, slow_seconds: float = SLOW_SECONDS
    ) -> None:
        self._database = database
        self._clock = clock
        self._secret = webhook_secret.encode()
        self._slow_seconds = slow_seconds

    async def authorize(self, *, key: str, order_id: str, token: str, amount: Money) -> Authorization:
        """Holds an amount; see Provider."""
        if token == "tok_slow":  # noqa: S105 - names a behaviour, not a secret
            await asyncio.sleep(self._slow_seconds)
        if token == "tok_error_once" and await self._stumbles(key):  # noqa: S105
            raise NotDone("the sandbox failed, as tok_error_once asks for")
        outcome = _DECLINES.get(token, OK if token in _GOOD else "invalid_token")

        async def enter(tx: Transaction) -> _Entry:
            await _lock(tx, order_id)
            if await _voided(tx, order_id):
                return await _write(tx, key, _Entry("AUTHORIZE", order_id, token, amount, GONE))
            return await _write(tx, key, _Entry("AUTHORIZE", order_id, token, amount, outcome))

        return _authorization(await self._transact(enter, named="sandbox.authorize"))

    async def find_authorization(self, request: Request) -> Authorization | None:
        """What became of an authorization; see Provider."""
        entry = await self._find(request.key)
        return None if entry is None else _authorization(entry)

    async def capture(self, *, key: str, reference: str, amount: Money) -> None:
        """Takes a held amount; see Provider."""

        async def enter(tx: Transaction) -> tuple[_Entry, bool]:
            await _lock(tx, reference)
            known = await _read(tx, key)
            if known is not None:
                return known, False
            held = await _held(tx, reference)
            outcome = OK if held is not None and held.amount == amount else "nothing_held"
            token = held.token if held else ""
            return await _write(tx, key, _Entry("CAPTURE", reference, token, amount, outcome)), True

        entry, first = await self._transact(enter, named="sandbox.capture")
        if first and entry.token == "tok_charged_then_timeout":  # noqa: S105
            raise OutcomeUnknown("the answer was lost, as tok_charged_then_timeout asks for")
        _require_ok(entry)

    async def void(
        self,
        *,
        key: str,
        order_id: str,
        reference: str,  # noqa: ARG002 - the port has it
        amount: Money,  # noqa: ARG002 - the port has it
    ) -> None:
        """Gives a hold up; see Provider. The sandbox refers to an authorization by its order."""

        async def enter(tx: Transaction) -> _Entry:
            await _lock(tx, order_id)
            outcome = "captured" if await _captured(tx, order_id) else OK
            return await _write(tx, key, _Entry("VOID", order_id, "", Money.zero(NO_CURRENCY), outcome))

        _require_ok(await self._transact(enter, named="sandbox.void"))

    async def refund(
        self,
        *,
        key: str,
        order_id: str,  # noqa: ARG002 - the port has it
        reference: str,
        amount: Money,
    ) -> None:
        """Gives a taken amount back; see Provider."""

        async def enter(tx: Transaction) -> _Entry:
            await _lock(tx, reference)
            known = await _read(tx, key)
            if known is not None:
                return known
            left = await _refundable(tx, reference, amount.currency)
            outcome = OK if amount <= left else "more_than_captured"
            return await _write(tx, key, _Entry("REFUND", reference, "", amount, outcome))

        _require_ok(await self._transact(enter, named="sandbox.refund"))

    async def is_done(self, request: Request) -> bool:
        """Whether a request took effect; see Provider."""
        entry = await self._find(request.key)
        if entry is not None:
            _require_ok(entry)
        return entry is not None

    async def statements(self, accounts: Sequence[Account]) -> Mapping[str, Statement]:
        """What the book says of orders; see Provider. One query for all of them."""

        async def add_up(tx: Transaction) -> Mapping[str, Statement]:
            sums = await _sums(tx, [account.order_id for account in accounts])
            known = (account for account in accounts if account.order_id in sums)
            return {account.order_id: _statement(sums[account.order_id], account.currency) for account in known}

        return await self._read(add_up)

    def read_report(self, body: bytes, headers: Mapping[str, str]) -> Report:
        """Reads a report after checking its signature; see Provider."""
        stamp, signature = _parse_signature(headers.get(SIGNATURE_HEADER, ""))
        expected = sign(self._secret, stamp, body)
        age = abs(self._clock().timestamp() - stamp)
        if not hmac.compare_digest(expected, signature) or age > SIGNATURE_AGE.total_seconds():
            raise SignatureInvalid("the signature does not fit the body, or is too old")
        report = json.loads(body)
        match report:
            case {"id": str(event_id), "type": str(kind), "data": {"orderId": str(order_id)}} if event_id and kind:
                return Report(event_id, kind, order_id)
            case _:
                raise ValueError('must be of the form {"id", "type", "data": {"orderId"}}')

    async def _stumbles(self, key: str) -> bool:
        async def enter(tx: Transaction) -> bool:
            statement = insert(stumble).values(key=key).on_conflict_do_nothing().returning(stumble.c.key)
            return (await tx.execute(statement)).first() is not None

        return await self._transact(enter)

    async def _find(self, key: str) -> _Entry | None:
        async def enter(tx: Transaction) -> _Entry | None:
            return await _read(tx, key)

        return await self._read(enter)

    async def _read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """A commit that may have failed loses nothing where nothing was written."""
        try:
            return await self._transact(work)
        except OutcomeUnknown as lost:
            raise NotDone("the sandbox cannot read its book now") from lost

    async def _transact(self, work: Callable[[Transaction], Awaitable[T]], *, named: str = "") -> T:
        try:
            return await self._database.transact(work, named=named)
        except CommitUnknown as unknown:
            raise OutcomeUnknown("the sandbox does not know whether its book has the entry") from unknown
        except MeshError as failed:
            raise NotDone("the sandbox cannot write its book now") from failed


def sign(secret: bytes, stamp: int, body: bytes) -> str:
    """The signature of a report: hex HMAC-SHA256 over the time in seconds, a dot and the body."""
    return hmac.new(secret, b"%d." % stamp + body, hashlib.sha256).hexdigest()


def _parse_signature(header: str) -> tuple[int, str]:
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    if not parts.get("t", "").isdecimal() or len(parts["t"]) > 12 or not parts.get("v1", "").isascii():
        raise SignatureInvalid(f"the header {SIGNATURE_HEADER} is missing or malformed")
    return int(parts["t"]), parts.get("v1", "")


def _authorization(entry: _Entry) -> Authorization:
    _require_ok(entry)
    return Authorization(entry.reference)


def _require_ok(entry: _Entry) -> None:
    if entry.outcome != OK:
        raise Declined(entry.outcome)


async def _lock(tx: Transaction, reference: str) -> None:
    """Requests about one authorization stand in line, or two of them would not see each other's entries."""
    await tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"sandbox:{reference}"})


async def _write(tx: Transaction, key: str, entry: _Entry) -> _Entry:
    """Writes an entry, or gives the one that the key has already."""
    statement = insert(ledger).values(
        key=key,
        operation=entry.operation,
        reference=entry.reference,
        token=entry.token,
        currency=entry.amount.currency,
        amount=entry.amount.minor,
        outcome=entry.outcome,
        create_time=tx.clock(),
    )
    await tx.execute(statement.on_conflict_do_nothing(index_elements=[ledger.c.key]))
    written = await _read(tx, key)
    assert written is not None  # noqa: S101 - just inserted, or the reason why it was not
    return written


async def _read(tx: Transaction, key: str) -> _Entry | None:
    row = (await tx.execute(select(ledger).where(ledger.c.key == key))).one_or_none()
    if row is None:
        return None
    return _Entry(row.operation, row.reference, row.token, Money(row.currency, row.amount), row.outcome)


async def _held(tx: Transaction, reference: str) -> _Entry | None:
    """The authorization that a capture can take, unless it was voided or taken."""
    if await _voided(tx, reference) or await _captured(tx, reference):
        return None
    key = await tx.execute(_done(reference, "AUTHORIZE"))
    found = key.scalar_one_or_none()
    return None if found is None else await _read(tx, found)


async def _voided(tx: Transaction, reference: str) -> bool:
    return (await tx.execute(_done(reference, "VOID").limit(1))).first() is not None


async def _captured(tx: Transaction, reference: str) -> bool:
    return (await tx.execute(_done(reference, "CAPTURE").limit(1))).first() is not None


async def _refundable(tx: Transaction, reference: str, currency: str) -> Money:
    signed = case((ledger.c.operation == "CAPTURE", ledger.c.amount), else_=-ledger.c.amount)
    total = select(func.coalesce(func.sum(signed), 0)).where(
        ledger.c.reference == reference,
        ledger.c.operation.in_(("CAPTURE", "REFUND")),
        ledger.c.outcome == OK,
        ledger.c.currency == currency,
    )
    return Money(currency, int((await tx.execute(total)).scalar_one()))


async def _sums(tx: Transaction, references: Sequence[str]) -> Mapping[str, Mapping[tuple[str, str], int]]:
    """What was done for each order that has entries: sums by operation and currency."""
    done = func.coalesce(func.sum(ledger.c.amount).filter(ledger.c.outcome == OK), 0)
    effective = func.count().filter(ledger.c.outcome == OK)
    kinds = (ledger.c.reference, ledger.c.operation, ledger.c.currency)
    entries = select(*kinds, done.label("amount"), effective.label("effective")).group_by(*kinds)
    sums: dict[str, dict[tuple[str, str], int]] = {}
    for row in await tx.execute(entries.where(ledger.c.reference.in_(references))):
        of_order = sums.setdefault(row.reference, {})
        if row.effective:
            of_order[row.operation, row.currency] = int(row.amount)
    return sums


def _statement(sums: Mapping[tuple[str, str], int], currency: str) -> Statement:
    """A void writes no amount, and no currency: it gives up whatever is held."""
    gone = ("VOID", NO_CURRENCY) in sums or ("CAPTURE", currency) in sums
    return Statement(
        held=Money(currency, 0 if gone else sums.get(("AUTHORIZE", currency), 0)),
        taken=Money(currency, sums.get(("CAPTURE", currency), 0)),
        given_back=Money(currency, sums.get(("REFUND", currency), 0)),
    )


def _done(reference: str, operation: str) -> Select[tuple[str]]:
    return select(ledger.c.key).where(
        ledger.c.reference == reference, ledger.c.operation == operation, ledger.c.outcome == OK
    )
