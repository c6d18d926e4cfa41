"""What is said about which event."""

import pytest

from mesh.money import Money
from services.notification import domain
from services.notification.domain import Kind, Line, Preferences, one_line

ORDER = "0190a000-0000-7000-8000-00000000aaaa"
PRODUCT = "0190a000-0000-7000-8000-00000000bbbb"


def test_a_confirmed_order_is_listed_with_its_total() -> None:
    draft = domain.order_confirmed(ORDER, lines=[Line("Mug", 2), Line("Bowl", 1)], total=Money("EUR", 2550))

    assert draft.kind is Kind.ORDER_CONFIRMED
    assert draft.order_id == ORDER
    assert draft.body == f"2 x Mug\n1 x Bowl\nTotal: 25.50 EUR\nOrder: {ORDER}"


def test_a_long_order_is_cut() -> None:
    draft = domain.order_confirmed(ORDER, lines=[Line("Mug", 1)] * 80, total=Money("EUR", 1))

    assert draft.body.count("Mug") == 50
    assert "and 30 more" in draft.body


@pytest.mark.parametrize(
    ("reason", "message", "said"),
    [
        ("INSUFFICIENT_STOCK", "x", "There are too few pieces of something in it."),
        ("PAYMENT_DECLINED", "x", "The payment was declined."),
        ("TIMED_OUT", "x", "It could not be completed in time."),
        ("A_NEW_REASON", "Because.\nReally", "Because. Really"),
    ],
)
def test_a_rejected_order_says_why_and_that_nothing_was_charged(reason: str, message: str, said: str) -> None:
    draft = domain.order_rejected(ORDER, reason=reason, message=message)

    assert draft.body == f"{said}\nNothing was charged.\nOrder: {ORDER}"


def test_a_shipped_order_says_how_it_travels() -> None:
    draft = domain.order_shipped(ORDER, carrier="DHL", tracking_number="42")

    assert draft.body == f"Carrier: DHL\nTracking number: 42\nOrder: {ORDER}"


def test_a_cancelled_order_says_what_was_given_back() -> None:
    charged = domain.order_cancelled(ORDER, reason="changed my mind", refunded=Money("EUR", 100))
    pending = domain.order_cancelled(ORDER, reason="", refunded=None)

    assert charged.body == f"Reason: changed my mind\nGiven back: 1.00 EUR\nOrder: {ORDER}"
    assert pending.body == f"Nothing was charged.\nOrder: {ORDER}"


def test_a_refund_says_what_was_given_back_in_all_where_that_is_more() -> None:
    first = domain.order_refunded(ORDER, amount=Money("JPY", 5), in_all=Money("JPY", 5), reason="broken")
    second = domain.order_refunded(ORDER, amount=Money("JPY", 5), in_all=Money("JPY", 10), reason="")

    assert first.body == f"Given back: 5 JPY\nReason: broken\nOrder: {ORDER}"
    assert second.body == f"Given back: 5 JPY\nIn all so far: 10 JPY\nOrder: {ORDER}"


def test_a_low_stock_names_its_product() -> None:
    draft = domain.stock_low(PRODUCT, available=3, threshold=5)

    assert (draft.product_id, draft.order_id) == (PRODUCT, None)
    assert draft.body.startswith("Pieces that can still be bought: 3\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\nBcc: everyone@example.com", "a Bcc: everyone@example.com"),
        ("a\x00b\x1b[31mc", "a b [31mc"),
        ("a\u2028b\u202ec", "a b c"),
        ("  a \t b  ", "a b"),
        ("👩‍💻 می‌خواهم", "👩‍💻 می‌خواهم"),
        ("<b>bold</b>", "<b>bold</b>"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_what_others_wrote_stays_on_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_preferences_decide_what_goes_out_by_mail() -> None:
    assert all(Preferences().mails(kind) for kind in Kind)
    assert not any(Preferences(email_enabled=False).mails(kind) for kind in Kind)
    muted = Preferences(muted_kinds=frozenset({Kind.WELCOME}))
    assert [kind for kind in Kind if not muted.mails(kind)] == [Kind.WELCOME]
