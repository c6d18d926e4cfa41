"""How Stripe counts, currency by currency."""

import pytest

from mesh.money import Money
from services.payment.providers.stripe_amounts import NotChargeable, from_stripe, to_stripe


@pytest.mark.parametrize(
    ("amount", "counted"),
    [
        (Money("EUR", 1234), 1234),
        (Money("JPY", 500), 500),
        (Money("KWD", 5120), 5120),
        (Money("ISK", 5), 500),
        (Money("UGX", 5), 500),
        (Money("MGA", 500), 5),
        (Money("EUR", 0), 0),
    ],
    ids=str,
)
def test_an_amount_is_counted_as_stripe_counts_and_back(amount: Money, counted: int) -> None:
    assert to_stripe(amount) == counted
    assert from_stripe(amount.currency.lower(), counted) == amount


@pytest.mark.parametrize("amount", [Money("KWD", 5123), Money("BHD", 1), Money("MGA", 550)], ids=str)
def test_what_is_finer_than_stripe_counts_is_refused(amount: Money) -> None:
    with pytest.raises(NotChargeable):
        to_stripe(amount)
