"""What an import says about itself: a refused row and why, the outcome as a whole, the file of refused rows."""

import csv
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.failures import Failure

SHOWN = 20
"""How many refused rows a report keeps in memory to be shown."""

_DISTINCT_REASONS = 200  # the shop may word its reasons as it likes: memory stays bounded whatever it says


class UnreadableFile(Failure):
    """The catalog file cannot be read as a whole: missing, in another encoding, without the needed columns."""


class ShopUnreachable(Failure):
    """The shop does not answer, or does not let us in."""


class Reason(StrEnum):
    """Why a row is refused before it is sent. Finite, so that refused rows can be counted by it."""

    BROKEN_QUOTES = "has a quote that is not closed or not doubled"
    WRONG_COLUMNS = "has the wrong number of columns"
    TOO_LONG_ROW = "is longer than a row may be"
    NOT_JSON = "is not valid JSON"
    NOT_AN_OBJECT = "is not a JSON object"
    UNKNOWN_FIELD = "has an unknown field"
    DUPLICATE = "repeats an earlier row"
    MISSING = "is missing"
    WRONG_TYPE = "has the wrong type"
    TOO_LONG = "is too long"
    NUL = "holds a NUL character"
    CONTROL = "holds a control character"
    NOT_UNICODE = "holds half a surrogate pair, which is not a character"
    NOT_A_PRICE = "is not a decimal number such as 9.99"
    COMMA_PRICE = "has a comma where a decimal point belongs"
    NEGATIVE = "is negative"
    ZERO = "is zero"
    TOO_PRECISE = "has more decimals than its currency"
    TOO_LARGE = "is too large"
    UNKNOWN_CURRENCY = "is not an ISO 4217 currency code"
    OTHER_CURRENCY = "is not the shop's currency"
    NOT_WHOLE = "is not a whole number"
    BAD_URL = "is not an https address"
    NOT_STRINGS = "is not a JSON object of texts"
    TOO_MANY = "has too many entries"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is not imported.

    Attributes:
        line: the physical line of the file on which the row begins, from 1.
        field: the column that is wrong, or `row` where it is the row as a whole.
        reason: what is wrong, worded to follow the field's name: `price` `is negative`.
        detail: what differs from row to row, such as the value; may be empty.
        text: the row as it stands in the file, cut where it is longer than a row may be.
    """

    line: int
    field: str
    reason: str
    detail: str = ""
    text: str = ""

    def sentence(self) -> str:
        """Return what is wrong, for a person."""
        return f"{self.field} {self.reason}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class ImportReport:
    """How an import ended.

    Attributes:
        created: rows that made a product.
        updated: rows that changed a product.
        unchanged: rows whose product was already as they say.
        rejected: rows that were refused, by us or by the shop.
        seconds: how long it took, in seconds.
        reasons: how many rows were refused by `field reason`.
        first: the first refused rows by line, at most `SHOWN`.
    """

    created: int
    updated: int
    unchanged: int
    rejected: int
    seconds: float
    reasons: dict[str, int]
    first: tuple[Rejection, ...]

    @property
    def rows(self) -> int:
        """Rows in all."""
        return self.created + self.updated + self.unchanged + self.rejected

    def closing_line(self) -> str:
        """Return the one line that sums it up."""
        return (
            f"{self.rows} rows: {self.created} created, {self.updated} updated, {self.unchanged} unchanged, "
            f"{self.rejected} rejected in {self.seconds:.1f} s"
        )


@dataclass
class Tally:
    """Counts while an import runs. Its memory does not grow with the number of rows."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[Rejection] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self.created + self.updated + self.unchanged + self.rejected

    def reject(self, rejection: Rejection) -> None:
        """Count a refused row. Rows come in the order of their lines."""
        self.rejected += 1
        if len(self.first) < SHOWN:
            self.first.append(rejection)
        name = f"{rejection.field} {rejection.reason}"
        if name not in self.reasons and len(self.reasons) >= _DISTINCT_REASONS:
            name = "other reasons"
        self.reasons[name] += 1

    def close(self, seconds: float) -> ImportReport:
        """Return the report."""
        return ImportReport(
            created=self.created,
            updated=self.updated,
            unchanged=self.unchanged,
            rejected=self.rejected,
            seconds=seconds,
            reasons=dict(self.reasons.most_common()),
            first=tuple(self.first),
        )


class RejectionFile:
    """A CSV file of refused rows: line, field, reason, and the row as it stood in the catalog."""

    def __init__(self, path: Path) -> None:
        """Open `path`, replacing what it held.

        Raises:
            UnreadableFile: it cannot be written.
        """
        try:
            self._file = path.open("w", encoding="utf-8", newline="", errors="backslashreplace")
        except OSError as error:
            raise UnreadableFile(f"The report {path} cannot be written: {error.strerror}.") from None
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(("line", "field", "reason", "row"))

    def write(self, rejection: Rejection) -> None:
        """Add a row."""
        reason = f"{rejection.reason}: {rejection.detail}" if rejection.detail else rejection.reason
        self._writer.writerow((rejection.line, rejection.field, reason, rejection.text))

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()
