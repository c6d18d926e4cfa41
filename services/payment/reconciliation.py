"""Our payments against the providers' ledgers: what was left open is settled, what contradicts is written down.

Nothing here moves money, and nothing waits for it: the provider is asked outside of any transaction, and what it said
is written down only if the payment still stands as it stood before.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from mesh.clock import Clock
from mesh.data import Database, Transaction
from mesh.errors import FailedPrecondition, MeshError
from mesh.logs import logger
from services.payment import reconciliation_store as store
from services.payment.app import Payments
from services.payment.asking import unknown
from services.payment.comparison import Contradiction, Kind, compare
from services.payment.domain import Payment
from services.payment.metrics import PaymentMetrics
from services.payment.providers.port import Account, NotDone, Report
from services.payment.store import Attempt, AttemptState

LEFT_OPEN: Final = timedelta(minutes=1)
"""How old an attempt is before it is asked about: its own call has given up by then."""

AT_ONCE: Final = 4
"""How many payments are looked at at a time: a provider limits how often it may be asked."""

BATCH: Final = 500
"""How many payments are compared with one question."""

_log = logger("services.payment")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a round, in numbers of payments."""

    compared: int = 0
    settled: int = 0
    """Attempts whose outcome is known now."""
    left_open: int = 0
    """Attempts that the provider has not carried out."""
    unanswered: int = 0
    """Payments whose provider could not be asked."""
    found: int = 0
    resolved: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.compared + other.compared,
            self.settled + other.settled,
            self.left_open + other.left_open,
            self.unanswered + other.unanswered,
            self.found + other.found,
            self.resolved + other.resolved,
        )


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where rounds have looked. Kept in memory: who starts anew looks back a while."""

    since: datetime
    again: frozenset[str] = frozenset()
    """Payments that could not be compared, because something was under way or nobody answered."""


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """The use cases of reconciliation. Several processes may run it at once: it repeats what others did, no more."""

    payments: Payments
    database: Database
    clock: Clock
    metrics: PaymentMetrics

    async def round(self, position: Position) -> tuple[Outcome, Position]:
        """Looks at every payment that has an attempt left open, that moved since a time, or that is in discrepancy.

        Returns:
            What came of it, and from where the next round goes on.

        Raises:
            Unavailable: The database cannot be reached.
        """
        until = self.clock() - LEFT_OPEN
        async with self.database.reading() as connection:
            stuck = await store.with_open_attempts(connection, before=until)
            moved = await store.moved(connection, after=position.since, until=until)
            disputed = await store.in_discrepancy(connection)
        ids = list(dict.fromkeys((*stuck, *disputed, *position.again, *moved)))
        outcome, again = Outcome(), set[str]()
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            agreeing, unanswered = await self._compare_together(batch)
            rest = [each for each in batch if each not in agreeing | unanswered]
            outcomes = await self._look_at_each(rest)
            again |= unanswered | {each for each, one in zip(rest, outcomes, strict=True) if not one.compared}
            outcome = sum(outcomes, outcome + Outcome(compared=len(agreeing), unanswered=len(unanswered)))
        await self._show()
        return outcome, Position(max(position.since, until), frozenset(again))

    async def look_at_report(self, provider: str, report: Report) -> None:
        """Looks at the payment that a provider's report is about; does nothing if there is none of ours.

        Raises:
            Unavailable: The provider or the database cannot be asked now.
        """
        if not _is_uuid(report.order_id):
            return
        async with self.database.reading() as connection:
            payment_id = await store.of_order(connection, order_id=report.order_id, provider=provider)
        if payment_id is not None:
            await self.look(payment_id)
            await self._show()

    async def look(self, payment_id: str) -> Outcome:
        """Settles what is open of a payment, as far as the provider knows, and compares it with the provider's ledger.

        Raises:
            Unavailable: The provider or the database cannot be asked now.
        """
        async with self.database.reading() as connection:
            payment, attempts = await store.read(connection, payment_id)
        if payment.provider not in self.payments.providers:
            _log.warning("a payment's provider is not configured", payment_id=payment.id, provider=payment.provider)
            return Outcome(unanswered=1)
        outcome, contradictions = Outcome(), list[Contradiction]()
        for attempt in attempts:
            try:
                state = await self.payments.resume(payment, attempt)
            except FailedPrecondition as ruled_out:
                contradictions.append(Contradiction(Kind.OUTCOME, payment.state.value, f"{attempt.operation} is done"))
                _log.warning("an attempt contradicts its payment", payment_id=payment.id, reason=str(ruled_out))
                continue
            if state is AttemptState.STARTED:
                outcome += Outcome(left_open=1)
            else:
                _log.info("attempt settled", payment_id=payment.id, operation=attempt.kind, state=state.value)
                outcome += Outcome(settled=1)
        return outcome + await self._compare(payment_id, contradictions)

    async def _compare(self, payment_id: str, contradictions: Sequence[Contradiction]) -> Outcome:
        async with self.database.reading() as connection:
            payment, attempts = await store.read(connection, payment_id)
        if attempts and not contradictions:
            return Outcome()  # what is under way may stand on one side only
        try:
            said = await self.payments.providers[payment.provider].statements([_account(payment)])
        except NotDone as failed:
            raise unknown() from failed
        found = [*contradictions, *compare(payment, said.get(payment.order_id))]
        changes = await self._write(payment, attempts, found)
        if changes is None:
            return Outcome()  # it moved meanwhile: the next round sees how it stands
        for each in changes.found:
            _log.error(
                "a provider's ledger contradicts ours",
                payment_id=payment.id,
                order_id=payment.order_id,
                kind=each.kind.value,
                ours=each.ours,
                theirs=each.theirs,
            )
        for kind in changes.resolved:
            _log.info("a discrepancy is gone", payment_id=payment.id, kind=kind.value)
        return Outcome(compared=1, found=len(changes.found), resolved=len(changes.resolved))

    async def _write(
        self, payment: Payment, attempts: Sequence[Attempt], found: Sequence[Contradiction]
    ) -> store.Changes | None:
        async def write(tx: Transaction) -> store.Changes | None:
            if not await store.is_unchanged(tx, payment, attempts):
                return None
            return await store.write(tx, payment.id, found)

        return await self.database.transact(write)

    async def _compare_together(self, payment_ids: Sequence[str]) -> tuple[set[str], set[str]]:
        """Finds out with one question a provider which of these payments agree with its ledger: nearly all do.

        Returns:
            Those that agree, and those whose provider cannot be asked now. The rest is to be looked at one by one.
        """
        async with self.database.reading() as connection:
            payments = await store.at_rest(connection, payment_ids)
        agreeing, unanswered = set[str](), set[str]()
        for name, provider in self.payments.providers.items():
            mine = [payment for payment in payments if payment.provider == name]
            try:
                said = await provider.statements([_account(payment) for payment in mine]) if mine else {}
            except NotDone as failed:
                _log.warning("a provider cannot be asked", provider=name, reason=str(failed))
                unanswered |= {payment.id for payment in mine}
                continue
            except Exception:  # noqa: BLE001 - one of them is at fault, and each is looked at for itself
                _log.exception("statements cannot be read", provider=name)
                continue
            agreeing |= {payment.id for payment in mine if not compare(payment, said.get(payment.order_id))}
        return agreeing, unanswered

    async def _look_at_each(self, payment_ids: Sequence[str]) -> Sequence[Outcome]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def look(payment_id: str) -> Outcome:
            async with gate:
                return await self._look_quietly(payment_id)

        return await asyncio.gather(*(look(each) for each in payment_ids))

    async def _look_quietly(self, payment_id: str) -> Outcome:
        """One payment that cannot be looked at keeps nobody else from it."""
        try:
            return await self.look(payment_id)
        except MeshError as failed:
            _log.warning("a payment cannot be reconciled now", payment_id=payment_id, reason=str(failed))
        except Exception:  # noqa: BLE001 - whatever is wrong with one, the others are looked at
            _log.exception("a payment cannot be reconciled", payment_id=payment_id)
        return Outcome(unanswered=1)

    async def _show(self) -> None:
        async with self.database.reading() as connection:
            self.metrics.discrepancies.set(await store.count_unresolved(connection))


def _account(payment: Payment) -> Account:
    return Account(order_id=payment.order_id, reference=payment.reference, currency=payment.amount.currency)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
