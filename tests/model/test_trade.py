"""Whatever is done in whatever sequence, the shop says what a simple model says: stock, money, orders, answers.

`ZOCO_TEST_SEED=17 .venv/bin/pytest tests/model` does again what a run with that seed did; the first line of every run
prints its seed. `ZOCO_TEST_WALKS=200` walks more often than continuous integration has time for.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mesh.ids import uuid7
from mesh.money import Money
from mesh.wire import money_to_proto
from tests.fixtures.servers import NatsServer, Postgres
from tests.harness import Tokens
from tests.model.model import DECLINED, GOOD, Model, Order, Refusal, Standing
from tests.model.trade import ADDRESS, BUILDS, Answer, Trade
from zoco.inventory.v1.inventory_service_pb2 import AdjustStockRequest
from zoco.order.v1 import order_service_pb2 as orders

WALKS: Final = int(os.environ.get("ZOCO_TEST_WALKS", "12"))
"""How many sequences are tried; some five seconds each."""

STEPS: Final = 25
"""How long a sequence is, at most."""

PIECES: Final = st.integers(1, 6)
CARDS: Final = st.sampled_from(["tok_visa", "tok_visa", *sorted(GOOD), *sorted(DECLINED)])


@dataclass(frozen=True)
class Attempt:
    """A call under a key that was answered, and one with the same key that asks for something else."""

    service: str
    method: str
    request: Any
    other: Any
    answer: Answer
    order_id: str = ""
    """The order that it made, whatever became of it."""


products: Bundle[str] = Bundle("products")
placed: Bundle[Attempt] = Bundle("placed")
attempts: Bundle[Attempt] = Bundle("attempts")
LINES: Final = st.dictionaries(products, PIECES, min_size=1, max_size=2)


class Walk(RuleBasedStateMachine):
    """One sequence: a buyer and an administrator in a shop that others have used before."""

    def __init__(self, trade: Trade) -> None:
        super().__init__()
        self.trade = trade
        self.model = Model()
        self.interrupted = False
        self.buyer, self.admin = uuid7(), uuid7()

    @initialize(target=products, price=st.integers(1, 2000), pieces=st.integers(3, 12))
    def begin(self, price: int, pieces: int) -> str:
        return self._put_on_sale(price, pieces)

    @precondition(lambda self: len(self.model.products) < 3)
    @rule(target=products, price=st.integers(1, 2000), pieces=st.integers(0, 12))
    def put_on_sale(self, price: int, pieces: int) -> str:
        return self._put_on_sale(price, pieces)

    @rule(target=attempts, product=products, delta=st.integers(-8, 8).filter(bool))
    def adjust(self, product: str, delta: int) -> Attempt:
        self._settle(self.model.giving_back([product]))
        request = AdjustStockRequest(product_id=product, delta=delta, request_id=uuid7())
        other = AdjustStockRequest(product_id=product, delta=delta + 20, request_id=request.request_id)
        attempt = self._attempt("inventory", "AdjustStock", request, other)
        self._expect(attempt.answer, lambda: self.model.adjust(product, delta))
        return attempt

    @rule(targets=(placed, attempts), lines=LINES, card=CARDS)
    def create(self, lines: dict[str, int], card: str) -> Attempt:
        request, other = self._order_for(lines, card)
        return self._placed(self._attempt("order", "CreateOrder", request, other), lines, card)

    # Once a walk: what a dead process left behind is taken over after ten seconds, the deadline of the call.
    @precondition(lambda self: not self.interrupted)
    @rule(
        targets=(placed, attempts),
        lines=LINES,
        card=CARDS,
        service=st.sampled_from(["order", "inventory", "payment"]),
    )
    def create_while_a_service_restarts(self, lines: dict[str, int], card: str, service: str) -> Attempt:
        """Whoever hears nothing asks again with the same key, and there is one order."""
        self.interrupted = True
        request, other = self._order_for(lines, card)
        answer = self.trade.place_while_it_restarts(request, by=self.buyer, service=service)
        return self._placed(Attempt("order", "CreateOrder", request, other, answer), lines, card)

    @rule(attempt=attempts, times=st.integers(1, 2))
    def repeat(self, attempt: Attempt, times: int) -> None:
        for _ in range(times):
            again = self._ask(attempt.service, attempt.method, attempt.request)
            assert again == attempt.answer, f"{again.error or again.body!r} instead of {attempt.answer}"

    @rule(attempt=attempts)
    def use_a_key_for_something_else(self, attempt: Attempt) -> None:
        assert self._ask(attempt.service, attempt.method, attempt.other).reason == "IDEMPOTENCY_KEY_REUSED"

    @rule(of=placed)
    def cancel(self, of: Attempt) -> None:
        order = self.model.orders[of.order_id]
        if order.outlook is Standing.REJECTED:
            self._settle([order])
        answer = self._ask("order", "CancelOrder", orders.CancelOrderRequest(id=of.order_id, reason="no"))
        self._expect(answer, lambda: self.model.cancel(order))
        if answer.ok and answer.standing is Standing.CANCELLED:
            self._settle([order])

    @rule(target=attempts, of=placed, share=st.none() | st.integers(1, 150))
    def refund(self, of: Attempt, share: int | None) -> Attempt:
        """Of a share in percent of the total, more than all of it included; or of all that is left."""
        order = self.model.orders[of.order_id]
        self._settle([order])
        cents = None if share is None else max(1, order.total * share // 100)
        request = orders.RefundOrderRequest(id=of.order_id, reason="broken", request_id=uuid7())
        if cents is not None:
            request.amount.CopyFrom(money_to_proto(Money("EUR", cents)))
        other = orders.RefundOrderRequest(id=of.order_id, reason="stolen", request_id=request.request_id)
        attempt = self._attempt("order", "RefundOrder", request, other)
        self._expect(attempt.answer, lambda: self.model.refund(order, cents))
        self.trade.wait_until_at_rest(of.order_id)
        return attempt

    @rule(of=placed, number=st.sampled_from(["41", "42"]))
    def ship(self, of: Attempt, number: str) -> None:
        order = self.model.orders[of.order_id]
        self._settle([order])
        request = orders.ShipOrderRequest(id=of.order_id, carrier="DHL", tracking_number=number)
        self._expect(self._ask("order", "ShipOrder", request), lambda: self.model.ship(order, number))

    @rule(of=placed)
    def deliver(self, of: Attempt) -> None:
        order = self.model.orders[of.order_id]
        self._settle([order])
        answer = self._ask("order", "DeliverOrder", orders.DeliverOrderRequest(id=of.order_id))
        self._expect(answer, lambda: self.model.deliver(order))

    @rule(service=st.sampled_from(sorted(BUILDS)))
    def restart(self, service: str) -> None:
        self.trade.restart(service)

    @rule()
    def wait(self) -> None:
        self._settle(self.model.orders.values())

    @invariant()
    def pieces_add_up_and_are_where_they_should_be(self) -> None:
        for product_id, (available, reserved, sold) in self.trade.stock(list(self.model.products)).items():
            product = self.model.products[product_id]
            assert available + reserved + sold == product.received
            assert min(available, reserved, sold) >= 0
            under_way = self.model.under_way(product_id)
            coming_back = sum(each.lines[product_id] for each in self.model.giving_back([product_id]))
            assert product.available <= available <= product.available + coming_back
            if not under_way:
                assert (reserved, sold) == (product.held, product.sold)

    @invariant()
    def every_book_says_where_an_order_stands_and_whose_the_money_is(self) -> None:
        seen = self.trade.orders_of(self.buyer)
        assert seen.keys() == self.model.orders.keys()
        for order_id, order in self.model.orders.items():
            shown = seen[order_id]
            assert shown.standing in order.may_be
            if order.outlook is None:
                money = (order.captured, order.refunded)
                assert (shown.refunded, shown.shipment) == (order.refunded, order.shipment)
                assert shown.payment == shown.ledger == money
            else:
                assert shown.ledger[0] in {0, order.total}
                assert shown.ledger[1] <= shown.ledger[0]

    def teardown(self) -> None:
        """Whatever was under way comes to what it should."""
        self.wait()
        self.pieces_add_up_and_are_where_they_should_be()
        self.every_book_says_where_an_order_stands_and_whose_the_money_is()

    def _order_for(self, lines: dict[str, int], card: str) -> tuple[Any, Any]:
        # What is just being given back could be bought again or not: that is left to the tests of inventory.
        self._settle(self.model.giving_back(lines))
        request = orders.CreateOrderRequest(
            items=[orders.LineItem(product_id=each, quantity=pieces) for each, pieces in lines.items()],
            payment_token=card,
            shipping_address=ADDRESS,
            request_id=uuid7(),
        )
        other = orders.CreateOrderRequest()
        other.CopyFrom(request)
        other.items[0].quantity += 1
        return request, other

    def _placed(self, attempt: Attempt, lines: dict[str, int], card: str) -> Attempt:
        answer = attempt.answer
        order_id = answer.order().id if answer.error is None else answer.error.metadata["order_id"]
        order = self.model.orders[order_id] = self.model.place(lines, card)
        if answer.error is not None:
            assert answer.reason == order.refusal
            self._settle([order])
        elif answer.standing is Standing.PENDING:
            self.trade.wait_until_reserved(order_id)
        else:
            assert answer.standing in order.may_be
            self._settle([order])
        return replace(attempt, order_id=order_id)

    def _put_on_sale(self, price: int, pieces: int) -> str:
        product_id = self.trade.put_on_sale(f"Tested Teapot {uuid7()}", price=price, pieces=pieces)
        self.model.sell(product_id, price=price, pieces=pieces)
        return product_id

    def _settle(self, of: Iterable[Order]) -> None:
        """Waits until orders are at rest, in the shop and in the model."""
        ids = {id(order): order_id for order_id, order in self.model.orders.items()}
        for order in [each for each in of if each.outlook is not None]:
            self.model.come_to_rest(order, captured=self.trade.wait_until_at_rest(ids[id(order)]))

    def _attempt(self, service: str, method: str, request: Any, other: Any) -> Attempt:
        return Attempt(service, method, request, other, self._ask(service, method, request))

    def _ask(self, service: str, method: str, request: Any) -> Answer:
        by_buyer = method in {"CreateOrder", "CancelOrder"}
        return self.trade.ask(service, method, request, by=self.buyer if by_buyer else self.admin, admin=not by_buyer)

    def _expect(self, answer: Answer, command: Callable[[], None]) -> None:
        """The model's verdict on a command, and the shop's."""
        try:
            command()
        except Refusal as refusal:
            expected = refusal.reason
        else:
            expected = ""
        assert answer.reason == expected, answer.error


@pytest.fixture
def trade(postgres: Postgres, own_nats: NatsServer, pki: Path, tokens: Tokens) -> Iterator[Trade]:
    opened = Trade(postgres, own_nats, pki, tokens)
    opened.open()
    yield opened
    opened.close()


@pytest.mark.usefixtures("takes_minutes")
def test_the_shop_does_what_the_model_says(trade: Trade) -> None:
    run_state_machine_as_test(
        lambda: Walk(trade),  # type: ignore[arg-type]  # it only calls what it is given
        settings=settings(
            max_examples=WALKS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
