"""What a product must be like, field by field. One set of rules, whether a product is made, changed or imported."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from mesh.money import InvalidAmount, InvalidCurrency, Money, exponent

LONGEST_NAME: Final = 200
LONGEST_CATEGORY: Final = 100
LONGEST_DESCRIPTION: Final = 5000
LONGEST_CATEGORY_DESCRIPTION: Final = 1000
LONGEST_URL: Final = 2048
LONGEST_QUERY: Final = 200
MOST_ATTRIBUTES: Final = 50
LONGEST_ATTRIBUTE: Final = 64
LONGEST_VALUE: Final = 500
MOST_UNITS: Final = 999_999_999_999
"""The highest price, in whole units: twelve digits, as the price filters of ListProducts have them."""
MOST_PIECES: Final = 1_000_000_000

_NANOS: Final = 1_000_000_000
_LONGEST_SORT_KEY: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_URL: Final = re.compile(
    r"https://[^\s\x00-\x20/?#@:\[\]\\\"<>]+(:[0-9]{1,5})?([/?#][^\s\x00-\x20\x7f\"<>\\^`{|}]*)?", re.IGNORECASE
)
_HIGHEST_PORT: Final = 65_535


class RuleBroken(ValueError):
    """A field breaks a rule."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        """Name of the field, as a catalog file calls its column."""
        self.reason = reason
        """What is wrong, as the end of a sentence that begins with the field."""


class OtherCurrency(RuleBroken):
    """A price in a currency the shop does not trade in."""

    def __init__(self, currency: str) -> None:
        super().__init__("currency", "is not the shop's currency")
        self.currency = currency


def title(field: str, value: str, longest: int) -> str:
    """A name with its space folded, so that two ways to type it are one name.

    Raises:
        RuleBroken: Nothing is left, or it is not a text of at most `longest` characters.
    """
    folded = " ".join(value.split())
    if not folded:
        raise RuleBroken(field, "is missing")
    return text(field, folded, longest)


def text(field: str, value: str, longest: int) -> str:
    """A text of at most `longest` characters (Unicode code points) without control characters, its accents composed.

    Raises:
        RuleBroken: It is none.
    """
    value = unicodedata.normalize("NFC", value)
    if len(value) > longest:
        raise RuleBroken(field, "is too long")
    # isprintable is cheap, and true for nearly every text.
    if not value.isprintable() and (found := _CONTROL.search(value)):
        raise RuleBroken(field, "holds a NUL character" if found[0] == "\0" else "holds a control character")
    return value


def image_url(value: str) -> str:
    """An https address of a picture, or nothing.

    Raises:
        RuleBroken: It is something else.
    """
    address = text("image_url", value.strip(), LONGEST_URL)
    if address:
        found = _URL.fullmatch(address)
        if not found or int((found.group(1) or ":0")[1:]) > _HIGHEST_PORT:
            raise RuleBroken("image_url", "is not an https address")
    return address


def attributes(values: Mapping[str, str]) -> dict[str, str]:
    """Facts by name.

    Raises:
        RuleBroken: Too many, or one whose name or value is no text of a bearable length.
    """
    if len(values) > MOST_ATTRIBUTES:
        raise RuleBroken("attributes", "has too many entries")
    if "" in values:
        raise RuleBroken("attributes", "has an entry without a name")
    return {
        text("attributes", name, LONGEST_ATTRIBUTE): text("attributes", value, LONGEST_VALUE)
        for name, value in values.items()
    }


def price(currency: str, units: int, nanos: int, *, shop_currency: str) -> Money:
    """A price, exact and more than zero.

    Args:
        currency: ISO 4217 code.
        units: Whole units.
        nanos: Billionths of a unit.
        shop_currency: The only currency that is taken.

    Raises:
        OtherCurrency: It is in another currency.
        RuleBroken: It is no price.
    """
    if not currency and not units and not nanos:
        raise RuleBroken("price", "is missing")
    try:
        decimals = exponent(currency)
    except InvalidCurrency as unknown:
        raise RuleBroken("currency", "is not an ISO 4217 currency code") from unknown
    if currency != shop_currency:
        raise OtherCurrency(currency)
    if abs(nanos) >= _NANOS or units * nanos < 0:
        raise RuleBroken("price", "has nanos out of range or of another sign than units")
    if units < 0 or nanos < 0:
        raise RuleBroken("price", "is negative")
    minor, rest = divmod(nanos, _NANOS // 10**decimals)
    if rest:
        raise RuleBroken("price", f"has more decimals than {currency} has")
    if units > MOST_UNITS:
        raise RuleBroken("price", "is too large")
    if not units and not minor:
        raise RuleBroken("price", "is zero")
    return Money(currency, units * 10**decimals + minor)


def price_range(lowest: str, highest: str, *, currency: str) -> tuple[int | None, int | None]:
    """The minor units of the decimals by which prices are filtered; an empty text is no bound.

    Raises:
        RuleBroken: One is no amount of the currency, or they exclude each other.
    """
    low, high = _price_bound("min_price", lowest, currency), _price_bound("max_price", highest, currency)
    if low is not None and high is not None and low > high:
        raise RuleBroken("max_price", "is below min_price")
    return low, high


def stock(pieces: int) -> int:
    """Pieces to begin with.

    Raises:
        RuleBroken: Fewer than none, or more than can be counted.
    """
    if pieces < 0:
        raise RuleBroken("stock", "is negative")
    if pieces > MOST_PIECES:
        raise RuleBroken("stock", "is too large")
    return pieces


def identity(name: str) -> str:
    """What two names have in common that are the same name: `name` as `title` gives it, without regard to case."""
    return name.casefold()


def sort_key(name: str) -> str:
    """What names are ordered by: without regard to case and accents, so that Álava stands before Burgos."""
    letters = name.casefold()
    if not letters.isascii():
        decomposed = unicodedata.normalize("NFKD", letters)
        letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return letters[:_LONGEST_SORT_KEY]


def _price_bound(field: str, value: str, currency: str) -> int | None:
    try:
        return Money.from_decimal(currency, value).minor if value else None
    except InvalidAmount as bad:
        raise RuleBroken(field, f"is no amount of {currency}") from bad
