"""Telling a row whose cell has several lines from a quote that was left open and the good rows that it swallowed."""

import csv
import re
from collections.abc import Sequence

from cli.catalog_import.currencies import ISO_4217

_NUMBER = re.compile(r"\s*-?[0-9]+([.,][0-9]+)?\s*", re.ASCII)


class OpenQuotes:
    """Knows what a row of this file looks like: so many cells, a number for its price, a code for its currency.

    Without it, a quote that is left open would make one product out of all rows up to the next quote in the file.

    Args:
        delimiter: what stands between cells.
        columns: the names in the header; `price` and `currency` are among them.
    """

    def __init__(self, delimiter: str, columns: Sequence[str]) -> None:
        self._delimiter = delimiter
        self._width = len(columns)
        self._price = columns.index("price")
        self._currency = columns.index("currency")

    def swallowed(self, lines: Sequence[str]) -> bool:
        """Return whether the lines of what CSV takes for one row are several, and a quote left open on the first."""
        first, *between = lines[:-1]
        return self._opened_too_early(first) or any(map(self._is_row, between))

    def _opened_too_early(self, line: str) -> bool:
        """Return whether the open cell holds the rest of its own row."""
        *closed, opened = self._cells(line)
        rest = opened.rstrip("\r\n").split(self._delimiter)
        return len(closed) <= min(self._price, self._currency) and self._looks_like_row([*closed, *rest])

    def _is_row(self, line: str) -> bool:
        return self._looks_like_row(self._cells(line))

    def _cells(self, line: str) -> list[str]:
        return next(csv.reader([line], delimiter=self._delimiter), [""])  # not strict: the line may end in a quote

    def _looks_like_row(self, cells: Sequence[str]) -> bool:
        return (
            len(cells) == self._width
            and _NUMBER.fullmatch(cells[self._price]) is not None
            and cells[self._currency].strip().upper() in ISO_4217
        )
