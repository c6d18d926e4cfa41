"""What payments need of a provider, asked of each: the sandbox, and Stripe through its SDK and stripe-mock."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from mesh.clock import utc_now
from mesh.data import Database
from mesh.ids import uuid7
from mesh.money import Money
from services.payment.providers.port import Account, Declined, Operation, Provider, Request, Statement
from services.payment.providers.sandbox import Sandbox
from services.payment.providers.stripe import Stripe
from tests.fixtures.servers import Postgres
from tests.payment.stripe_servers import API_KEY, RememberingStripe

TWENTY = Money("EUR", 2000)
NOTHING = Money.zero("EUR")

_keys = itertools.count()


@dataclass
class Order:
    """An order as a provider's caller sees it."""

    provider: Provider
    good_card: str
    declined_cards: dict[str, str]
    """Cards that are declined, and why."""
    amount: Money = TWENTY
    id: str = field(default_factory=uuid7)
    reference: str = ""

    @property
    def nothing(self) -> Money:
        return Money.zero(self.amount.currency)

    def request(self, operation: Operation, key: str, amount: Money | None = None) -> Request:
        return Request(
            key=key, operation=operation, order_id=self.id, reference=self.reference, amount=amount or self.amount
        )

    async def authorize(self, card: str = "", key: str = "") -> str:
        held = await self.provider.authorize(
            key=key or f"{self.id}:authorize", order_id=self.id, token=card or self.good_card, amount=self.amount
        )
        self.reference = held.reference
        return held.reference

    async def capture(self, key: str = "") -> None:
        await self.provider.capture(key=key or f"{self.id}:capture", reference=self.reference, amount=self.amount)

    async def void(self, key: str = "") -> None:
        await self.provider.void(
            key=key or f"{self.id}:void", order_id=self.id, reference=self.reference, amount=self.amount
        )

    async def refund(self, amount: Money, key: str) -> None:
        await self.provider.refund(key=f"{self.id}:{key}", order_id=self.id, reference=self.reference, amount=amount)

    async def is_done(self, operation: Operation, key: str) -> bool:
        return await self.provider.is_done(self.request(operation, f"{self.id}:{key}"))

    async def statement(self) -> Statement | None:
        account = Account(order_id=self.id, reference=self.reference, currency=self.amount.currency)
        return (await self.provider.statements([account])).get(self.id)


def says(held: Money = NOTHING, taken: Money = NOTHING, given_back: Money = NOTHING) -> Statement:
    return Statement(held=held, taken=taken, given_back=given_back)


@asynccontextmanager
async def sandbox_order(postgres: Postgres) -> AsyncIterator[Order]:
    database = Database(await postgres.database("payment"), workload="payment")
    declined = {"tok_declined": "card_declined", "tok_insufficient_funds": "insufficient_funds", "x": "invalid_token"}
    try:
        yield Order(Sandbox(database, clock=utc_now, webhook_secret="-"), "tok_visa", declined)
    finally:
        await database.drain()


@asynccontextmanager
async def stripe_order(server: RememberingStripe) -> AsyncIterator[Order]:
    provider = Stripe(api_key=API_KEY, webhook_secret="-", api_base=server.url)
    declined = {
        "pm_card_visa_chargeDeclined": "generic_decline",
        "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
        "pm_card_threeDSecure2Required": "authentication_required",
        "pm_unheard_of": "invalid_token",
    }
    try:
        yield Order(provider, "pm_card_visa", declined)
    finally:
        await provider.close()


@pytest.fixture(params=["sandbox", "stripe"])
async def order(request: pytest.FixtureRequest, postgres: Postgres) -> AsyncIterator[Order]:
    if request.param == "sandbox":
        async with sandbox_order(postgres) as fresh:
            yield fresh
    else:
        async with (
            RememberingStripe(request.getfixturevalue("stripe_mock")).serving() as server,
            stripe_order(server) as fresh,
        ):
            yield fresh


async def test_an_amount_is_held_and_then_taken(order: Order) -> None:
    await order.authorize()
    assert await order.statement() == says(held=TWENTY)

    await order.capture()

    assert await order.statement() == says(taken=TWENTY)


async def test_the_same_request_again_has_no_second_effect(order: Order) -> None:
    first, second = await order.authorize(), await order.authorize()
    for _ in range(2):
        await order.capture()
    for _ in range(2):
        await order.refund(Money("EUR", 500), "r1")

    assert first == second
    assert await order.statement() == says(taken=TWENTY, given_back=Money("EUR", 500))


async def test_each_bad_card_is_declined_for_its_reason_and_holds_nothing(order: Order) -> None:
    for card, reason in order.declined_cards.items():
        fresh = Order(order.provider, order.good_card, order.declined_cards)
        for _ in range(2):
            with pytest.raises(Declined) as declined:
                await fresh.authorize(card)
            assert declined.value.reason == reason
        assert await fresh.statement() == says()


async def test_what_became_of_an_authorization_can_be_asked(order: Order) -> None:
    request = order.request(Operation.AUTHORIZE, f"{order.id}:authorize")
    assert await order.provider.find_authorization(request) is None

    held = await order.authorize()

    found = await order.provider.find_authorization(request)
    assert found is not None
    assert found.reference == held


async def test_a_decline_is_found_again(order: Order) -> None:
    card, reason = next(iter(order.declined_cards.items()))
    with pytest.raises(Declined):
        await order.authorize(card)

    with pytest.raises(Declined, match=reason):
        await order.provider.find_authorization(order.request(Operation.AUTHORIZE, f"{order.id}:authorize"))


async def test_whether_a_capture_took_effect_can_be_asked(order: Order) -> None:
    await order.authorize()
    assert not await order.is_done(Operation.CAPTURE, "capture")

    await order.capture()

    assert await order.is_done(Operation.CAPTURE, "capture")


async def test_what_was_given_up_can_not_be_taken(order: Order) -> None:
    await order.authorize()
    assert not await order.is_done(Operation.VOID, "void")

    for _ in range(2):
        await order.void()

    assert await order.is_done(Operation.VOID, "void")
    assert await order.statement() == says()
    with pytest.raises(Declined):
        await order.capture()


async def test_a_void_that_comes_first_leaves_nothing_to_hold(order: Order) -> None:
    await order.void()

    with pytest.raises(Declined, match="voided"):
        await order.authorize()

    with pytest.raises(Declined, match="voided"):
        await order.provider.find_authorization(order.request(Operation.AUTHORIZE, f"{order.id}:authorize"))
    assert await order.statement() == says()


async def test_what_was_taken_can_not_be_given_up(order: Order) -> None:
    await order.authorize()
    await order.capture()

    for _ in range(2):
        with pytest.raises(Declined, match="captured"):
            await order.void()

    assert await order.statement() == says(taken=TWENTY)


async def test_refunds_are_several_and_never_above_what_was_taken(order: Order) -> None:
    await order.authorize()
    await order.capture()

    await order.refund(Money("EUR", 1200), "r1")
    with pytest.raises(Declined):
        await order.refund(Money("EUR", 801), "r2")
    await order.refund(Money("EUR", 800), "r3")

    assert await order.statement() == says(taken=TWENTY, given_back=TWENTY)


async def test_whether_a_refund_took_effect_can_be_asked(order: Order) -> None:
    await order.authorize()
    await order.capture()
    assert not await order.is_done(Operation.REFUND, "r1")

    await order.refund(Money("EUR", 1), "r1")

    assert await order.is_done(Operation.REFUND, "r1")
    assert not await order.is_done(Operation.REFUND, "r2")


async def test_an_order_that_a_provider_never_heard_of_has_no_statement(order: Order) -> None:
    assert await order.statement() is None


@pytest.mark.parametrize(
    "amount", [Money("JPY", 1500), Money("KWD", 12340), Money("ISK", 700), Money("UGX", 9000), Money("USD", 1)], ids=str
)
async def test_amounts_are_the_same_whatever_the_currencys_smallest_unit(order: Order, amount: Money) -> None:
    order.amount = amount
    await order.authorize()
    await order.capture()
    await order.refund(amount, "r1")

    assert await order.statement() == Statement(held=order.nothing, taken=amount, given_back=amount)


async def test_statements_of_several_orders_are_asked_for_together(order: Order) -> None:
    orders = [Order(order.provider, order.good_card, order.declined_cards) for _ in range(3)]
    for each in orders:
        await each.authorize()
    await orders[1].capture()
    stranger = Account(order_id=uuid7(), reference="", currency="EUR")

    accounts = [Account(order_id=each.id, reference=each.reference, currency="EUR") for each in orders]
    said = await order.provider.statements([*accounts, stranger])

    assert [said[each.id] for each in orders] == [says(held=TWENTY), says(taken=TWENTY), says(held=TWENTY)]
    assert stranger.order_id not in said
