"""Orders as a history makes them, for tests that speak of given, when and then."""

from datetime import UTC, datetime, timedelta
from itertools import count

from mesh.money import Money
from services.order.domain import Command, decide
from services.order.events import Change, Event, Line, OrderPlaced
from services.order.saga import Reply, react
from services.order.state import Order, evolve, fold

ORDER = "0192f0c1-0000-7000-8000-000000000001"
BUYER = "0192f0c1-0000-7000-8000-000000000002"
TEA = Line("0192f0c1-0000-7000-8000-00000000000a", "Tea", Money("EUR", 450), 2)
CUP = Line("0192f0c1-0000-7000-8000-00000000000b", "Cup", Money("EUR", 1200), 1)
TOTAL = Money("EUR", 2100)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

PLACED = OrderPlaced(ORDER, BUYER, (TEA, CUP))


def given(*history: Event) -> Order:
    """The order after a history, an event a second from noon on."""
    order = fold((event, NOON + timedelta(seconds=second)) for event, second in zip(history, count(), strict=False))
    assert order is not None
    return order


def after(order: Order, *changes: Change) -> Order:
    for change in changes:
        order = evolve(order, change, order.updated_at + timedelta(seconds=1))
    return order


def when(order: Order, what: Command | Reply) -> tuple[Change, ...]:
    """What a command or a neighbour's reply leads to."""
    if isinstance(what, Command):
        return decide(order, what)
    return react(order, what)


def euros(amount: str) -> Money:
    return Money.from_decimal("EUR", amount)
