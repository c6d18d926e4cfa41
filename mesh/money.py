"""Money as whole minor units of one currency: exact, ordered, and never mixed with another currency."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final

_DEFAULT_EXPONENT: Final = 2

_EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    # ISO 4217, list one: the currencies whose minor unit is not a hundredth.
    {
        **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
        **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
        **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
        **dict.fromkeys(("CLF", "UYW"), 4),
    }
)

LARGEST: Final = 2**63 - 1
"""The most minor units an amount may have: what a bigint column and the wire's int64 hold."""

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class MoneyError(ValueError):
    """A currency or an amount that does not exist, or two that do not go together.

    MoneyError
    ├── CurrencyMismatch   two currencies in one sum or comparison
    ├── InvalidCurrency    not an ISO 4217 code
    └── InvalidAmount      not a number, finer than the currency's smallest coin, or beyond what can be stored
    """


class CurrencyMismatch(MoneyError):
    """Two currencies meet in one sum or comparison."""


class InvalidCurrency(MoneyError):
    """Not an ISO 4217 code: three capital letters."""


class InvalidAmount(MoneyError):
    """Not a finite number, finer than the smallest coin of its currency, or beyond LARGEST."""


@functools.lru_cache(maxsize=1024)
def exponent(currency: str) -> int:
    """How many decimal places a currency has: 2 for EUR, 0 for JPY, 3 for KWD (ISO 4217).

    Raises:
        InvalidCurrency: The code is not three capital letters.
    """
    if not _CURRENCY.fullmatch(currency):
        raise InvalidCurrency(f"{currency!r} is no currency code of ISO 4217")
    return _EXPONENTS.get(currency, _DEFAULT_EXPONENT)


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency.

    Sums and comparisons of two currencies raise CurrencyMismatch; only equality answers False.
    """

    currency: str
    """ISO 4217 code."""
    minor: int
    """Whole minor units: cents of EUR, yen of JPY. May be negative."""

    def __post_init__(self) -> None:
        exponent(self.currency)
        if type(self.minor) is not int:
            raise InvalidAmount(f"minor units are whole numbers, not {self.minor!r}")
        if abs(self.minor) > LARGEST:
            raise InvalidAmount(f"{self.minor} minor units are more than can be stored")

    @classmethod
    def zero(cls, currency: str) -> "Money":
        """Nothing, in a currency."""
        return cls(currency, 0)

    @classmethod
    def from_decimal(cls, currency: str, amount: Decimal | str) -> "Money":
        """Reads an amount in major units, such as `"12.50"`.

        Raises:
            InvalidCurrency: The code is not three capital letters.
            InvalidAmount: Not a finite number, more decimal places than the currency has, or beyond LARGEST.
        """
        places = exponent(currency)
        try:
            minor = Decimal(amount).scaleb(places)
        except InvalidOperation:
            raise InvalidAmount(f"{amount!r} is no amount") from None
        if not minor.is_finite() or abs(minor) > LARGEST:
            raise InvalidAmount(f"{amount!r} is no amount")
        if minor != int(minor):
            raise InvalidAmount(f"{amount} is finer than the smallest coin of {currency}")
        return cls(currency, int(minor))

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, with exactly the currency's decimal places."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def __add__(self, other: "Money") -> "Money":
        return Money(self.currency, self.minor + self._minor_of(other))

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.currency, self.minor - self._minor_of(other))

    def __mul__(self, quantity: int) -> "Money":
        if type(quantity) is not int:
            return NotImplemented
        return Money(self.currency, self.minor * quantity)

    __rmul__ = __mul__

    def __neg__(self) -> "Money":
        return Money(self.currency, -self.minor)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._minor_of(other)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __str__(self) -> str:
        return f"{self.decimal} {self.currency}"

    def _minor_of(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not mix")
        return other.minor
