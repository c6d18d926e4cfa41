"""From the cells of a row to the row that is sent, or the first rule it breaks, column by column."""

import re
import unicodedata
from typing import Any

from cli.catalog_import.currencies import ISO_4217
from cli.catalog_import.records import Record, decode_json
from cli.catalog_import.report import Reason, Rejection
from cli.catalog_import.seen import SeenProducts
from mesh.money import exponent
from zoco.product.v1.product_service_pb2 import ImportRow

# The bounds of zoco.product.v1.Product; the shop checks them again.
_LONGEST_NAME = 200
_LONGEST_CATEGORY = 100
_LONGEST_DESCRIPTION = 5000
_LONGEST_URL = 2048
_MOST_ATTRIBUTES = 50
_LONGEST_KEY = 64
_LONGEST_VALUE = 500
_MOST_STOCK = 1_000_000_000
_MOST_DIGITS = 12  # before the point, as the price filters of ListProducts have it

_SHOWN_VALUE = 100
_NANO_DIGITS = 9

_PRICE = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]+", re.ASCII)
_URL = re.compile(
    r"https://[^\s\x00-\x20/?#@:\[\]\\\"<>]+(:[0-9]{1,5})?([/?#][^\s\x00-\x20\x7f\"<>\\^`{|}]*)?", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _RuleBroken(Exception):
    """A cell breaks a rule."""

    def __init__(self, field: str, reason: Reason, detail: object = "") -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason
        self.detail = _shown(detail)


class RowReader:
    """Checks rows and turns them into messages. Remembers which products the file has named.

    Args:
        currency: the only currency that is taken, an ISO 4217 code.

    Raises:
        InvalidCurrency: it is no such code.
    """

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._decimals = exponent(currency)
        self._seen = SeenProducts()

    def read(self, record: Record) -> ImportRow | Rejection:
        """Return the message for a row, or why there is none. Only the first rule that is broken is told."""
        cells = record.cells
        try:
            row = ImportRow(
                line=record.line,
                name=_title("name", cells.get("name"), _LONGEST_NAME),
                description=_text("description", cells.get("description"), _LONGEST_DESCRIPTION),
                category=_title("category", cells.get("category"), _LONGEST_CATEGORY),
                initial_stock=_stock(cells.get("stock")),
                image_url=_url(cells.get("image_url")),
            )
            # Filled in place: making a Money and a map to be copied would double what a row costs.
            price = row.price
            price.units, price.nanos = _amount(cells.get("price"), self._decimals)
            price.currency_code = self._checked(cells.get("currency"))
            attributes = row.attributes
            for key, value in _attributes(cells.get("attributes")).items():
                attributes[key] = value
        except _RuleBroken as broken:
            return Rejection(record.line, broken.field, broken.reason, broken.detail, record.text)
        earlier = self._seen.line_of(row.category, row.name, record.line)
        if earlier is not None:
            return Rejection(record.line, "name", Reason.DUPLICATE, f"line {earlier}", record.text)
        return row

    def _checked(self, currency: str | None) -> str:
        """Return the shop's currency, if that is what the cell says."""
        code = (currency or "").strip().upper()
        if code == self._currency:
            return code
        if not code:
            raise _RuleBroken("currency", Reason.MISSING)
        raise _RuleBroken("currency", Reason.OTHER_CURRENCY if code in ISO_4217 else Reason.UNKNOWN_CURRENCY, currency)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN_VALUE else text[:_SHOWN_VALUE] + "..."


def _characters(field: str, text: str, longest: int) -> str:
    """Check what every text must keep to. Characters are Unicode code points, as the contract counts them."""
    if len(text) > longest:
        raise _RuleBroken(field, Reason.TOO_LONG, f"{len(text)} characters, at most {longest}")
    if not text.isprintable():  # cheap, and true for nearly every text
        found = _CONTROL.search(text)
        if found:
            raise _RuleBroken(field, Reason.NUL if found[0] == "\0" else Reason.CONTROL)
        if _SURROGATE.search(text):
            raise _RuleBroken(field, Reason.NOT_UNICODE)
    return text


def _title(field: str, value: str | None, longest: int) -> str:
    """Return a name with its space folded and its accents composed, so that two ways to type it are one product."""
    text = unicodedata.normalize("NFC", " ".join((value or "").split()))
    if not text:
        raise _RuleBroken(field, Reason.MISSING)
    return _characters(field, text, longest)


def _text(field: str, value: str | None, longest: int) -> str:
    return _characters(field, value.strip(), longest) if value else ""


def _amount(value: Any, decimals: int) -> tuple[int, int]:
    """Return units and nanos of a price in a currency of so many decimals."""
    text = "" if value is None else str(value).strip()
    if not text:
        raise _RuleBroken("price", Reason.MISSING)
    found = _PRICE.fullmatch(text)
    if not found:
        comma = "," in text and _PRICE.fullmatch(text.replace(",", "."))
        raise _RuleBroken("price", Reason.COMMA_PRICE if comma else Reason.NOT_A_PRICE, text)
    sign, whole, fraction = found.group(1), found.group(2), found.group(3) or ""
    if sign:
        raise _RuleBroken("price", Reason.NEGATIVE, text)
    if len(fraction) > decimals:
        raise _RuleBroken("price", Reason.TOO_PRECISE, text)
    if len(whole) > _MOST_DIGITS:
        raise _RuleBroken("price", Reason.TOO_LARGE, text)
    units, nanos = int(whole), int(fraction.ljust(_NANO_DIGITS, "0"))
    if not units and not nanos:
        raise _RuleBroken("price", Reason.ZERO)
    return units, nanos


def _stock(value: Any) -> int:
    text = "" if value is None else str(value).strip()
    if not text:
        raise _RuleBroken("stock", Reason.MISSING)
    if not _WHOLE.fullmatch(text):
        raise _RuleBroken("stock", Reason.NOT_WHOLE, text)
    if text[0] == "-":
        raise _RuleBroken("stock", Reason.NEGATIVE, text)
    if len(text) > _MOST_DIGITS or int(text) > _MOST_STOCK:
        raise _RuleBroken("stock", Reason.TOO_LARGE, text)
    return int(text)


def _url(value: str | None) -> str:
    text = value.strip() if value else ""
    if not text:
        return ""
    _characters("image_url", text, _LONGEST_URL)
    found = _URL.fullmatch(text)
    if not found or int((found.group(1) or ":0")[1:]) > 65_535:
        raise _RuleBroken("image_url", Reason.BAD_URL, text)
    return text


def _attributes(value: Any) -> dict[str, str]:
    """Return the attributes; `value` is an object already, or a text that holds one, or nothing."""
    if not value:
        return {}
    if isinstance(value, str):
        if not value.strip():
            return {}
        try:
            value = decode_json(value)
        except ValueError as error:
            raise _RuleBroken("attributes", Reason.NOT_JSON, error) from None
    if not isinstance(value, dict):
        raise _RuleBroken("attributes", Reason.NOT_STRINGS)
    if len(value) > _MOST_ATTRIBUTES:
        raise _RuleBroken("attributes", Reason.TOO_MANY, f"{len(value)}, at most {_MOST_ATTRIBUTES}")
    for key, content in value.items():
        if type(content) is not str:
            raise _RuleBroken("attributes", Reason.NOT_STRINGS, f"the value of {key!r} is not a text")
        if not key:
            raise _RuleBroken("attributes", Reason.MISSING, "a key is empty")
        _characters("attributes", key, _LONGEST_KEY)
        _characters("attributes", content, _LONGEST_VALUE)
    return value
