"""Stripe, through its own SDK: one payment intent an order, captured by hand.

An authorization is two requests. The first creates the intent, without a card, so that it holds nothing; its key is the
order's, and it can be repeated by whoever knows order and amount. The second confirms it with the card, under the
attempt's key. So an order's intent can always be found, and its state says what became of a request whose answer was
lost; and a void that overtakes its authorization cancels the intent, which no late confirmation can undo.

Stripe keeps a key for 24 hours at least. What may be asked again later is looked for first; an authorization is not,
because its caller gives up within minutes (docs/decisions/023).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, assert_never

import stripe
from stripe import PaymentIntent, Refund, SignatureVerificationError, StripeClient

from mesh.logs import logger
from mesh.money import Money
from services.payment.providers.port import (
    Account,
    Authorization,
    Declined,
    NotDone,
    Operation,
    OutcomeUnknown,
    Report,
    Request,
    SignatureInvalid,
    Statement,
)
from services.payment.providers.stripe_amounts import NotChargeable, to_stripe
from services.payment.providers.stripe_answers import (
    MISSING,
    Refused,
    authorization,
    in_the_ports_terms,
    is_cancelled,
    is_captured,
    is_given_back,
    looking,
    statement,
)
from services.payment.providers.stripe_transport import Transport

SIGNATURE_HEADER: Final = "stripe-signature"
SIGNATURE_AGE: Final = timedelta(minutes=5)
TIMEOUT: Final = timedelta(seconds=6)
AT_ONCE: Final = 4
"""How many requests one question for statements makes at a time: Stripe limits how often it may be asked."""

_log = logger("services.payment")


class Stripe:
    """The Stripe provider.

    Args:
        api_key: A secret key; a test key (`sk_test_`) moves no money.
        webhook_secret: What reports are signed with.
        api_base: Where Stripe is, if not where the SDK thinks.
        timeout: How long Stripe may be silent before its answer counts as lost.
    """

    name: Final = "stripe"

    def __init__(
        self, *, api_key: str, webhook_secret: str, api_base: str | None = None, timeout: timedelta = TIMEOUT
    ) -> None:
        # The SDK would write an id of this machine into its user's home, to be told to Stripe; only this turns it off.
        stripe.enable_telemetry = False
        self._transport = Transport(timeout=timeout)
        self._client = StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,  # repeats are ours, and the caller's
            http_client=self._transport,
        )
        self._webhook_secret = webhook_secret

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close_async()

    async def authorize(self, *, key: str, order_id: str, token: str, amount: Money) -> Authorization:
        """Holds an amount; see Provider."""
        created = await self._intent(order_id, amount)
        try:
            with in_the_ports_terms():
                confirmed = await self._client.v1.payment_intents.confirm_async(
                    created,
                    # Nobody is there to be asked: a card whose bank wants to see its owner is declined.
                    {"payment_method": token, "error_on_requires_action": True},
                    {"idempotency_key": key},
                )
        except Refused as refused:
            held = authorization(await self._retrieve(created))
            if held is None:  # the intent is as it was: Stripe does not take this card at all
                _log.warning("Stripe refused to confirm", code=refused.code, param=refused.param)
                raise Declined("invalid_token" if refused.code == MISSING else refused.code) from refused
            return held
        held = authorization(confirmed)
        if held is None:
            raise OutcomeUnknown(f"the intent is {confirmed.status}")
        return held

    async def find_authorization(self, request: Request) -> Authorization | None:
        """What became of an authorization; see Provider."""
        none_yet: Declined | None = None
        for intent in await self._intents_of(request):
            try:
                held = authorization(intent)
            except Declined as declined:
                none_yet = declined
                continue
            if held is not None:
                return held
        if none_yet is not None:
            raise none_yet
        return None

    async def capture(self, *, key: str, reference: str, amount: Money) -> None:
        """Takes a held amount; see Provider."""
        try:
            with in_the_ports_terms():
                intent = await self._client.v1.payment_intents.capture_async(
                    reference, {"amount_to_capture": _counted(amount)}, {"idempotency_key": key}
                )
        except Refused as refused:
            if not is_captured(await self._retrieve(reference)):
                raise NotDone(f"Stripe refused to capture: {refused}") from refused
            return
        if not is_captured(intent):
            raise OutcomeUnknown(f"the intent is {intent.status}")

    async def void(self, *, key: str, order_id: str, reference: str, amount: Money) -> None:
        """Gives a hold up; see Provider."""
        if reference:
            await self._cancel(reference, key)
            return
        for intent in await self._find_or_create(order_id, amount):
            await self._cancel(intent, f"{key}:{intent}")

    async def refund(self, *, key: str, order_id: str, reference: str, amount: Money) -> None:
        """Gives a taken amount back; see Provider."""
        known = await self._find_refund(key, reference)
        if known is None:
            try:
                with in_the_ports_terms():
                    known = await self._client.v1.refunds.create_async(
                        {
                            "payment_intent": reference,
                            "amount": _counted(amount),
                            "metadata": {"order_id": order_id, "key": key},
                        },
                        {"idempotency_key": key},
                    )
            except Refused as refused:
                if refused.code == MISSING:
                    raise NotDone("Stripe does not know the payment") from refused
                raise Declined(refused.code) from refused
        is_given_back(known)

    async def is_done(self, request: Request) -> bool:
        """Whether a request took effect; see Provider."""
        match request.operation:
            case Operation.AUTHORIZE:
                return await self.find_authorization(request) is not None
            case Operation.CAPTURE:
                return any(is_captured(intent) for intent in await self._intents_of(request))
            case Operation.VOID:
                return all(is_cancelled(intent) for intent in await self._intents_of(request))
            case Operation.REFUND:
                refund = await self._find_refund(request.key, request.reference)
                return refund is not None and is_given_back(refund)
            case _:
                assert_never(request.operation)

    async def statements(self, accounts: Sequence[Account]) -> Mapping[str, Statement]:
        """What Stripe's ledger says of orders; see Provider. A few requests at a time, one an order."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(account: Account) -> Statement | None:
            async with gate:
                return await self._statement(account)

        said = await asyncio.gather(*(ask(account) for account in accounts))
        return {account.order_id: each for account, each in zip(accounts, said, strict=True) if each is not None}

    def read_report(self, body: bytes, headers: Mapping[str, str]) -> Report:
        """Reads a report after checking its signature; see Provider."""
        header = headers.get(SIGNATURE_HEADER, "")
        try:
            self._client.construct_event(
                body, header, self._webhook_secret, tolerance=int(SIGNATURE_AGE.total_seconds())
            )
        except (SignatureVerificationError, UnicodeDecodeError, TypeError) as forged:
            raise SignatureInvalid("the signature does not fit the body, or is too old") from forged
        except (AttributeError, KeyError) as malformed:
            raise ValueError("must be an event of Stripe") from malformed
        match json.loads(body):
            case {"id": str(event_id), "type": str(kind), "data": {"object": dict(told)}} if event_id and kind:
                return Report(event_id, kind, _order_of(told))
            case _:
                raise ValueError("must be an event of Stripe with an object")

    async def _intent(self, order_id: str, amount: Money) -> str:
        """Creates the order's intent, or finds that it was created; its id. It holds nothing, so a repeat is harmless.

        Raises:
            Declined: Stripe does not move such an amount.
            NotDone: Try again.
        """
        try:
            with in_the_ports_terms():
                intent = await self._client.v1.payment_intents.create_async(
                    {
                        "amount": _counted(amount),
                        "currency": amount.currency.lower(),
                        "capture_method": "manual",
                        "allowed_payment_method_types": ["card"],
                        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                        "metadata": {"order_id": order_id, "key": f"{order_id}:authorize"},
                    },
                    {"idempotency_key": f"{order_id}:intent"},
                )
        except OutcomeUnknown as lost:
            raise NotDone(str(lost)) from lost
        except Refused as refused:
            _log.warning("Stripe refused to create", code=refused.code, param=refused.param)
            raise Declined(refused.code) from refused
        return intent.id

    async def _statement(self, account: Account) -> Statement | None:
        total: Statement | None = None
        for each in [account.reference] if account.reference else await self._search(account.order_id):
            try:
                with looking():
                    intent = await self._client.v1.payment_intents.retrieve_async(each, {"expand": ["latest_charge"]})
            except Refused:
                continue
            one = statement(intent)
            total = one if total is None or one.held.currency != account.currency else total + one
        return total

    async def _find_or_create(self, order_id: str, amount: Money) -> Sequence[str]:
        """The order's intents: one, unless an authorization was repeated after its key was forgotten.

        Searching lags behind by a minute or so, and replaying ends with the key after a day: one of them always knows.
        """
        return await self._search(order_id) or [await self._intent(order_id, amount)]

    async def _intents_of(self, request: Request) -> Sequence[PaymentIntent]:
        ids = [request.reference] if request.reference else await self._find_or_create(request.order_id, request.amount)
        return [await self._retrieve(each) for each in ids]

    async def _search(self, order_id: str) -> Sequence[str]:
        try:
            with looking():
                found = await self._client.v1.payment_intents.search_async(
                    {"query": f"metadata['order_id']:'{order_id}'", "limit": 100}
                )
        except Refused as refused:
            raise NotDone(f"Stripe refused to search: {refused}") from refused
        return [intent.id for intent in found.data]

    async def _retrieve(self, reference: str) -> PaymentIntent:
        try:
            with looking():
                return await self._client.v1.payment_intents.retrieve_async(reference)
        except Refused as refused:
            raise NotDone(f"Stripe refused to show the intent: {refused}") from refused

    async def _cancel(self, reference: str, key: str) -> None:
        try:
            with in_the_ports_terms():
                intent = await self._client.v1.payment_intents.cancel_async(reference, {}, {"idempotency_key": key})
        except Refused as refused:
            if not is_cancelled(await self._retrieve(reference)):
                raise NotDone(f"Stripe refused to cancel: {refused}") from refused
            return
        if not is_cancelled(intent):
            raise OutcomeUnknown(f"the intent is {intent.status}")

    async def _find_refund(self, key: str, reference: str) -> Refund | None:
        """The refund that was made under a key, however long ago."""
        try:
            with looking():
                page = await self._client.v1.refunds.list_async({"payment_intent": reference, "limit": 100})
                async for refund in page.auto_paging_iter():
                    if _key_of(refund) == key:
                        return refund
        except Refused as refused:
            raise NotDone(f"Stripe refused to list refunds: {refused}") from refused
        return None


def _counted(amount: Money) -> int:
    try:
        return to_stripe(amount)
    except NotChargeable as finer:
        raise Declined("amount_not_chargeable") from finer


def _key_of(refund: Refund) -> str:
    return "" if refund.metadata is None else str(refund.metadata.to_dict().get("key", ""))


def _order_of(told: Mapping[str, object]) -> str:
    match told:
        case {"metadata": {"order_id": str(order_id)}}:
            return order_id
        case _:
            return ""
