"""What can be done with payments.

Every operation on a provider has the same three steps. First a transaction notes the attempt: from then on it is known
that the provider may have been asked. Then the provider is asked, outside of any transaction, under the attempt's key.
Then a second transaction writes down what became of it, with the event and the call's answer. A process that dies in
between leaves the attempt, and the caller's repeat goes the same way: the key makes the provider do nothing twice.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from mesh.call import current_call
from mesh.crashpoints import crashpoint
from mesh.data import Database, Transaction
from mesh.errors import FailedPrecondition, Unauthenticated, invalid_field, not_found
from mesh.ids import uuid7
from mesh.money import Money
from services.payment import store
from services.payment.asking import ask, ask_done, request_of, unknown
from services.payment.domain import Payment, State, new_payment
from services.payment.metrics import PaymentMetrics
from services.payment.providers.port import Declined, NotDone, Operation, Provider, Report, SignatureInvalid
from services.payment.refusals import as_authorized, declined, declined_refund, in_callers_terms, require_same
from services.payment.store import Attempt, AttemptState, PaymentPage
from services.payment.wire import change_to_event, payment_to_proto, refund_to_event

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Payments:
    """The use cases of payment."""

    database: Database
    provider: Provider
    providers: Mapping[str, Provider]
    """All that are configured, by name: a payment stays with the one that made it."""
    metrics: PaymentMetrics

    async def get(self, payment_id: str) -> Payment:
        """One payment, to its owner and to administrators.

        Raises:
            NotFound: No such payment, or somebody else's.
        """
        call = current_call()
        async with self.database.reading() as connection:
            found = await store.find_payment(connection, payment_id)
        if found is None or not (call.is_admin or found.user_id == call.user_id):
            raise not_found("payment", payment_id)
        return found

    async def list(self, *, state: State | None, order_id: str, before: str | None, size: int) -> PaymentPage:
        """Payments, newest first."""
        async with self.database.reading() as connection:
            return await store.list_payments(connection, state=state, order_id=order_id, before=before, size=size)

    async def authorize(self, *, order_id: str, user_id: str, amount: Money, token: str) -> Payment:
        """Holds the amount of an order.

        Raises:
            FailedPrecondition: PAYMENT_DECLINED; STATE_CONFLICT: voided before.
            InvalidArgument: The order has a payment of another amount.
            Unavailable: Not known yet; call again.
        """

        async def begin(tx: Transaction) -> tuple[Payment, Attempt]:
            new = new_payment(
                payment_id=uuid7(),
                order_id=order_id,
                user_id=user_id,
                provider=self.provider.name,
                amount=amount,
                now=tx.clock(),
            )
            payment = await store.add(tx, new)
            return payment, await store.begin_attempt(tx, of=payment, operation="authorize", amount=amount)

        payment, attempt = await self.database.transact(begin, named="authorize.attempt")
        require_same(payment, user_id, amount)
        if payment.state is not State.PENDING:
            return await self._answer(lambda _: as_authorized(payment))
        provider = self.providers[payment.provider]
        try:
            held = await ask(
                lambda: provider.authorize(key=attempt.key, order_id=order_id, token=token, amount=amount),
                lambda: provider.find_authorization(request_of(payment, attempt)),
            )
        except Declined as no:
            return await self._decline(order_id, attempt, no.reason)
        crashpoint("payment.authorize.after_reply")
        reference = held.reference

        def settle(tx: Transaction, current: Payment) -> Payment:
            return as_authorized(
                current.authorized(reference, tx.clock()) if current.state is State.PENDING else current
            )

        return await self._settle(order_id, attempt, settle)

    async def capture(self, order_id: str) -> Payment:
        """Takes the amount held.

        Raises:
            FailedPrecondition: STATE_CONFLICT: nothing is held; PAYMENT_DECLINED: the hold no longer held.
            Unavailable: Not known yet; call again.
        """
        payment, attempt = await self._begin(order_id, "capture", done={State.CAPTURED}, allowed=Payment.capturable)
        if attempt is None:
            return await self._answer(lambda _: payment)
        provider = self.providers[payment.provider]
        try:
            await ask_done(
                lambda: provider.capture(key=attempt.key, reference=payment.reference, amount=payment.amount),
                lambda: provider.is_done(request_of(payment, attempt)),
            )
        except Declined as no:
            return await self._decline(order_id, attempt, no.reason)
        crashpoint("payment.capture.after_reply")

        def settle(tx: Transaction, current: Payment) -> Payment:
            return current if current.state is State.CAPTURED else current.captured_whole(tx.clock())

        return await self._settle(order_id, attempt, settle)

    async def void(self, order_id: str) -> Payment:
        """Gives a hold up; where there is none yet, there never will be.

        Raises:
            FailedPrecondition: STATE_CONFLICT: the amount was taken; refund it.
            Unavailable: Not known yet; call again.
        """

        async def bury(tx: Transaction) -> Payment:
            return await store.add_tombstone(
                tx, payment_id=uuid7(), order_id=order_id, provider=self.provider.name, now=tx.clock()
            )

        await self.database.transact(bury, named="void.tombstone")
        nothing_held = {State.VOIDED, State.DECLINED}
        payment, attempt = await self._begin(order_id, "void", done=nothing_held, allowed=Payment.voidable)
        if attempt is None:
            return await self._answer(lambda _: payment)
        provider = self.providers[payment.provider]
        try:
            await ask_done(
                lambda: provider.void(
                    key=attempt.key, order_id=order_id, reference=payment.reference, amount=payment.amount
                ),
                lambda: provider.is_done(request_of(payment, attempt)),
            )
        except Declined:
            # The provider says the amount was taken: a capture is under way whose answer is not written yet.
            raise unknown() from None
        crashpoint("payment.void.after_reply")

        def settle(tx: Transaction, current: Payment) -> Payment:
            return current if current.state is State.VOIDED else current.voided(tx.clock())

        return await self._settle(order_id, attempt, settle)

    async def refund(self, order_id: str, *, amount: Money, reason: str) -> Payment:
        """Gives part of a captured amount back, or all of it. One refund a key.

        Raises:
            FailedPrecondition: REFUND_EXCEEDS_CAPTURED; STATE_CONFLICT: nothing was taken.
            InvalidArgument: CURRENCY_MISMATCH; not more than zero.
            Unavailable: Not known yet; call again.
        """
        key = current_call().key
        if key is None:
            raise invalid_field("idempotency-key", "is required in the metadata of this call")
        if amount.minor <= 0:
            raise invalid_field("amount", "must be more than zero")
        operation = f"refund:{key.key}"

        async def begin(tx: Transaction) -> tuple[Payment, Attempt]:
            payment = await store.lock_of_order(tx, order_id)
            if payment is None:
                raise not_found("payment", order_id)
            known = await store.find_attempt(tx, payment, operation)
            if known is not None:
                return payment, known
            payment.refundable(amount, under_way=await store.refunds_under_way(tx, payment))
            return payment, await store.begin_attempt(tx, of=payment, operation=operation, amount=amount, reason=reason)

        payment, attempt = await self._refusing(begin, named="refund.attempt")
        if attempt.amount != amount:
            raise invalid_field("amount", "differs from that of the refund that this key began")
        match attempt.state:
            case AttemptState.DONE:
                return await self._answer(lambda _: payment)
            case AttemptState.REFUSED:
                raise declined_refund(payment)
            case AttemptState.STARTED:
                pass
        provider = self.providers[payment.provider]
        try:
            await ask_done(
                lambda: provider.refund(key=attempt.key, order_id=order_id, reference=payment.reference, amount=amount),
                lambda: provider.is_done(request_of(payment, attempt)),
            )
        except Declined:
            await self._refuse(attempt)
            raise declined_refund(payment) from None
        crashpoint("payment.refund.after_reply")
        return await self._settle_refund(order_id, attempt)

    async def resume(self, payment: Payment, attempt: Attempt) -> AttemptState:
        """Asks what became of an attempt that was left open, and writes it down as its own call would have.

        What never reached the provider stays open while it may yet be wanted: its caller asks again under the same key.

        Raises:
            FailedPrecondition: STATE_CONFLICT: the provider did what the payment's state rules out.
            Unavailable: The provider cannot be asked now.
        """
        request = request_of(payment, attempt)
        provider = self.providers[payment.provider]
        reference = payment.reference
        try:
            if request.operation is Operation.AUTHORIZE:
                held = await provider.find_authorization(request)
                done, reference = held is not None, held.reference if held else ""
            else:
                done = await provider.is_done(request)
        except NotDone as failed:
            raise unknown() from failed
        except Declined as no:
            return await self._resume_declined(payment, attempt, no.reason)
        if not done:
            if payment.state not in (State.DECLINED, State.VOIDED):
                return AttemptState.STARTED
            await self._refuse(attempt)
            return AttemptState.REFUSED

        def settle(tx: Transaction, current: Payment) -> Payment:
            match request.operation:
                case Operation.AUTHORIZE:
                    return current.authorized(reference, tx.clock()) if current.state is State.PENDING else current
                case Operation.CAPTURE:
                    return current if current.state is State.CAPTURED else current.captured_whole(tx.clock())
                case Operation.VOID:
                    return current if current.state is State.VOIDED else current.voided(tx.clock())
                case Operation.REFUND:
                    raise AssertionError("refunds change an amount, not the state")

        if request.operation is Operation.REFUND:
            await self._settle_refund(payment.order_id, attempt)
        else:
            await self._settle(payment.order_id, attempt, settle)
        return AttemptState.DONE

    async def take_report(
        self,
        provider_name: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        look: Callable[[str, Report], Awaitable[None]],
    ) -> None:
        """Takes a provider's report once. It changes nothing by itself: it is a reason to look at the provider.

        Args:
            provider_name: Whose report it is.
            body: The bytes as they came.
            headers: Among them the signature.
            look: Looks at what a provider's report is about, before the report counts as taken: one that was taken is
                not needed again, so a look that fails makes the provider report again.

        Raises:
            NotFound: No such provider.
            Unauthenticated: CREDENTIALS_INVALID: the signature does not fit.
            InvalidArgument: The body is not of the form it should have.
            Unavailable: The provider cannot be asked now.
        """
        provider = self.providers.get(provider_name)
        if provider is None:
            raise not_found("provider", provider_name)
        try:
            report = provider.read_report(body, headers)
        except SignatureInvalid as forged:
            raise Unauthenticated("CREDENTIALS_INVALID", str(forged)) from forged
        except ValueError as malformed:
            raise invalid_field("body", str(malformed)) from malformed
        async with self.database.reading() as connection:
            if await store.was_taken(connection, provider=provider.name, event_id=report.event_id):
                return
        await look(provider.name, report)

        async def take(tx: Transaction) -> None:
            await store.take_report(tx, provider=provider.name, event_id=report.event_id, kind=report.type)

        await self.database.transact(take, named="report")

    async def _begin(
        self, order_id: str, operation: str, *, done: Collection[State], allowed: Callable[[Payment], None]
    ) -> tuple[Payment, Attempt | None]:
        """Notes an attempt, or finds that the payment stands there already: then there is none."""

        async def begin(tx: Transaction) -> tuple[Payment, Attempt | None]:
            payment = await store.lock_of_order(tx, order_id)
            if payment is None:
                raise not_found("payment", order_id)
            if payment.state in done:
                return payment, None
            allowed(payment)
            return payment, await store.begin_attempt(tx, of=payment, operation=operation, amount=payment.amount)

        return await self._refusing(begin, named=f"{operation}.attempt")

    async def _settle(
        self, order_id: str, attempt: Attempt, change: Callable[[Transaction, Payment], Payment]
    ) -> Payment:
        """Writes down that the provider did what it was asked for, with event and answer."""

        async def settle(tx: Transaction) -> Payment:
            current = await store.lock_of_order(tx, order_id)
            assert current is not None  # noqa: S101 - the attempt refers to it
            changed = change(tx, current)
            await store.end_attempt(tx, attempt, AttemptState.DONE)
            await self._write(tx, current, changed)
            await tx.answer(payment_to_proto(changed))
            return changed

        return await self._refusing(settle, named=f"{attempt.kind}.result")

    async def _settle_refund(self, order_id: str, attempt: Attempt) -> Payment:
        async def settle(tx: Transaction) -> Payment:
            current = await store.lock_of_order(tx, order_id)
            assert current is not None  # noqa: S101 - the attempt refers to it
            known = await store.find_attempt(tx, current, attempt.operation)
            changed = current
            if known is not None and known.state is AttemptState.STARTED:
                changed = current.refunded_by(attempt.amount, tx.clock())
                await store.end_attempt(tx, attempt, AttemptState.DONE)
                await store.save(tx, changed)
                event = refund_to_event(changed, attempt.amount, attempt.reason)
                tx.publish(event, aggregate_id=changed.id, version=changed.version)
                tx.after_commit(lambda: self.metrics.refunded(attempt.amount))
            await tx.answer(payment_to_proto(changed))
            return changed

        return await self._refusing(settle, named="refund.result")

    async def _decline(self, order_id: str, attempt: Attempt, reason: str) -> NoReturn:
        """Writes down that the provider said no; that is the call's answer."""

        async def decline(tx: Transaction) -> FailedPrecondition:
            current = await store.lock_of_order(tx, order_id)
            assert current is not None  # noqa: S101 - the attempt refers to it
            changed = current if current.state is State.DECLINED else current.declined(reason, tx.clock())
            await store.end_attempt(tx, attempt, AttemptState.REFUSED)
            await self._write(tx, current, changed)
            answer = declined(changed)
            await tx.answer(answer)
            return answer

        raise await self._refusing(decline, named=f"{attempt.kind}.declined")

    async def _resume_declined(self, payment: Payment, attempt: Attempt, reason: str) -> AttemptState:
        """Writes a no down that nobody waits for."""
        authorizing = attempt.kind == Operation.AUTHORIZE.value and payment.state is not State.VOIDED
        if authorizing or attempt.kind == Operation.CAPTURE.value:
            try:
                await self._decline(payment.order_id, attempt, reason)
            except FailedPrecondition as told:
                if told.reason != "PAYMENT_DECLINED":
                    raise
        else:
            await self._refuse(attempt)
        return AttemptState.REFUSED

    async def _refuse(self, attempt: Attempt) -> None:
        async def refuse(tx: Transaction) -> None:
            await store.end_attempt(tx, attempt, AttemptState.REFUSED)

        await self.database.transact(refuse, named="refund.refused")

    async def _write(self, tx: Transaction, before: Payment, after: Payment) -> None:
        if after == before:
            return
        await store.save(tx, after)
        event = change_to_event(after)
        if event is not None:
            tx.publish(event, aggregate_id=after.id, version=after.version)
        tx.after_commit(lambda: self.metrics.changed(after))

    async def _answer(self, decide: Callable[[Transaction], Payment]) -> Payment:
        """Stores the answer of a call that found everything done."""

        async def answer(tx: Transaction) -> Payment:
            payment = decide(tx)
            await tx.answer(payment_to_proto(payment))
            return payment

        return await self._refusing(answer, named="answer")

    async def _refusing(self, work: Callable[[Transaction], Awaitable[T]], *, named: str) -> T:
        """Runs a transaction and tells callers in their terms what the domain refuses."""
        with in_callers_terms():
            return await self.database.transact(work, named=named)
