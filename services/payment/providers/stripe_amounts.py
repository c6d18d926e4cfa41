"""How Stripe counts: its smallest units are those of ISO 4217 but for a few currencies. Pure.

https://docs.stripe.com/currencies#minor-units and the special cases below it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mesh.money import Money, exponent

_EXPONENTS: Final[Mapping[str, int]] = MappingProxyType({"ISK": 2, "UGX": 2, "MGA": 0})
"""Where Stripe differs: ISK and UGX have lost their hundredths and Stripe still counts them; it never counted MGA's."""

_TENS_ONLY: Final = 3
"""Of a currency with three decimal places Stripe takes whole tens of the smallest unit."""


class NotChargeable(ValueError):
    """Stripe cannot move this amount: it is finer than what Stripe counts in that currency."""


def to_stripe(amount: Money) -> int:
    """An amount as Stripe counts it.

    Raises:
        NotChargeable: It is finer than Stripe's smallest unit.
    """
    places = exponent(amount.currency)
    shift = _EXPONENTS.get(amount.currency, places) - places
    counted, rest = divmod(amount.minor * _power(shift), _power(-shift))
    if rest or (places == _TENS_ONLY and counted % 10):
        raise NotChargeable(f"{amount} is finer than what Stripe moves in {amount.currency}")
    return counted


def from_stripe(currency: str, counted: int) -> Money:
    """What Stripe counted, in our minor units. Stripe writes currencies in small letters.

    Raises:
        InvalidAmount: It is no whole number of our minor units.
    """
    code = currency.upper()
    places = _EXPONENTS.get(code, exponent(code))
    return Money.from_decimal(code, str(counted) if places == 0 else f"{counted}e-{places}")


def _power(places: int) -> int:
    """Ten to the power of so many places; 1 for none or fewer."""
    return int("1" + "0" * places)
