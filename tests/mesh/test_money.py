"""Money is exact and does not mix."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.money import LARGEST, CurrencyMismatch, InvalidAmount, InvalidCurrency, Money

currencies = st.sampled_from(["EUR", "USD", "JPY", "KWD", "CLF"])
amounts = st.integers(min_value=-(10**15), max_value=10**15)


@given(currencies, amounts)
def test_an_amount_is_the_same_after_a_detour_over_its_decimal(currency: str, minor: int) -> None:
    money = Money(currency, minor)
    assert Money.from_decimal(currency, money.decimal) == money
    assert Money.from_decimal(currency, str(money.decimal)) == money


@given(currencies, amounts, amounts, st.integers(min_value=0, max_value=1000))
def test_sums_and_multiples_are_those_of_the_minor_units(currency: str, one: int, other: int, times: int) -> None:
    assert (Money(currency, one) + Money(currency, other)).minor == one + other
    assert (Money(currency, one) - Money(currency, other)).minor == one - other
    assert (Money(currency, one) * times).minor == (times * Money(currency, one)).minor == one * times
    assert (Money(currency, one) < Money(currency, other)) == (one < other)
    assert -Money(currency, one) + Money(currency, one) == Money.zero(currency)


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [("EUR", "12.5", 1250), ("JPY", "500", 500), ("KWD", "0.001", 1), ("EUR", "-0.01", -1), ("EUR", "1E+2", 10000)],
)
def test_major_units_are_read_by_the_currency_s_decimal_places(currency: str, amount: str, minor: int) -> None:
    assert Money.from_decimal(currency, amount).minor == minor


@pytest.mark.parametrize(
    ("currency", "amount"),
    [
        ("EUR", "0.001"),
        ("JPY", "0.5"),
        ("EUR", "NaN"),
        ("EUR", "Infinity"),
        ("EUR", "1e30"),
        ("EUR", "free"),
        ("EUR", ""),
    ],
)
def test_what_is_no_amount_of_a_currency_is_refused(currency: str, amount: str) -> None:
    with pytest.raises(InvalidAmount):
        Money.from_decimal(currency, amount)


@pytest.mark.parametrize("currency", ["eur", "EURO", "", "E1R", "ÄÖÜ"])
def test_what_is_no_currency_is_refused(currency: str) -> None:
    with pytest.raises(InvalidCurrency):
        Money(currency, 1)


def test_two_currencies_do_not_mix_but_may_be_compared_for_equality() -> None:
    euro, yen = Money("EUR", 1), Money("JPY", 1)
    for mix in (lambda: euro + yen, lambda: euro - yen, lambda: euro < yen, lambda: euro >= yen):
        with pytest.raises(CurrencyMismatch):
            mix()
    assert euro != yen


def test_minor_units_are_whole_and_can_be_stored() -> None:
    for wrong in (1.5, True, Decimal(1), LARGEST + 1):
        with pytest.raises(InvalidAmount):
            Money("EUR", wrong)  # type: ignore[arg-type] # that is the point


def test_it_reads_as_amount_and_currency() -> None:
    assert (str(Money("EUR", 1250)), str(Money("JPY", 500))) == ("12.50 EUR", "500 JPY")
