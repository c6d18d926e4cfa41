"""The rows of a catalog file as they stand there: cells by column, or why the row cannot be taken apart."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, assert_never

from cli.catalog_import.files import LONGEST_ROW, CatalogFile, Format, PhysicalLines, RowTooLong
from cli.catalog_import.quotes import OpenQuotes
from cli.catalog_import.report import Reason, Rejection, UnreadableFile

COLUMNS = ("name", "description", "price", "currency", "category", "stock", "image_url", "attributes")
"""The columns of a catalog, in the order in which ours stand."""

_REQUIRED = ("name", "price", "currency", "category", "stock")
_DELIMITERS = ",;\t"


class JsonNumber(str):
    """A JSON number as it was written: a float would round it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A row taken apart.

    Attributes:
        line: the physical line on which it begins, from 1.
        text: the row as it stands in the file.
        cells: the value of each column that is there. Texts in CSV; of the column's JSON type in JSON Lines.
    """

    line: int
    text: str
    cells: dict[str, Any]


def records(file: CatalogFile, path: Path) -> Iterator[Record | Rejection]:
    """Yield each row of the file in order. Rows without any content are not rows.

    Raises:
        UnreadableFile: the header is missing or names other columns, or the file cannot be read on.
    """
    match file.format:
        case Format.CSV:
            return _csv_records(file.lines, path)
        case Format.JSON_LINES:
            return _json_records(file.lines)
        case never:
            assert_never(never)


def _csv_records(lines: PhysicalLines, path: Path) -> Iterator[Record | Rejection]:
    delimiter, columns = _header(lines, path)
    quotes = OpenQuotes(delimiter, columns)
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    while True:
        lines.begin_row()
        start = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Rejection(start, "row", Reason.BROKEN_QUOTES, text=lines.back_to_second_line())
            continue
        except RowTooLong:
            yield _too_long(lines, start)
            continue
        if lines.number > start and quotes.swallowed(lines.row_lines()):
            yield Rejection(start, "row", Reason.BROKEN_QUOTES, text=lines.back_to_second_line())
        elif len(cells) == len(columns):
            if any(cells):
                yield Record(start, lines.row_text(), dict(zip(columns, cells, strict=True)))
        elif any(cell.strip() for cell in cells):
            detail = f"{len(cells)} instead of {len(columns)}"
            yield Rejection(start, "row", Reason.WRONG_COLUMNS, detail, lines.row_text())


def _too_long(lines: PhysicalLines, start: int) -> Rejection:
    """Refuse a row without end: one long line, or an open quote, after whose line good rows may follow."""
    several = lines.number > start
    text = lines.back_to_second_line()
    if several:
        return Rejection(start, "row", Reason.BROKEN_QUOTES, text=text)
    return Rejection(start, "row", Reason.TOO_LONG_ROW, f"more than {LONGEST_ROW} characters", text)


def _header(lines: PhysicalLines, path: Path) -> tuple[str, list[str]]:
    """Return the delimiter and the columns.

    Raises:
        UnreadableFile: it is not the header of a catalog.
    """
    try:
        first = next((line for line in lines if line.strip()), None)
    except RowTooLong:
        first = None
    if first is None:
        raise UnreadableFile(f"{path} has no header; its first line must name the columns {','.join(COLUMNS)}.")
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        columns = [cell.strip().casefold() for cell in next(csv.reader([first], strict=True, delimiter=delimiter))]
    except csv.Error:
        columns = []
    missing = [name for name in _REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS]
    repeated = [name for name in COLUMNS if columns.count(name) > 1]
    for names, what in ((missing, "lacks"), (unknown, "has the unknown"), (repeated, "repeats")):
        if names:
            plural = "s" if len(names) > 1 else ""
            raise UnreadableFile(
                f"{path} {what} column{plural} {', '.join(names)}; its first line must name {','.join(COLUMNS)}."
            )
    return delimiter, columns


class _RepeatedKey(ValueError):
    """An object names a key twice; JSON leaves open which one counts."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKey(next(f"the key {name!r} twice" for name in names if names.count(name) > 1))
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


JSON = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=JsonNumber, parse_int=JsonNumber, parse_constant=_no_constant
)
"""Reads JSON with exact numbers, and refuses what two readers could understand in two ways."""


def decode_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON; the text says what and at which character.
    """
    try:
        return JSON.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def _json_records(lines: PhysicalLines) -> Iterator[Record | Rejection]:
    while True:
        lines.begin_row()
        start = lines.number + 1
        try:
            line = next(lines, None)
        except RowTooLong:
            yield _too_long(lines, start)
            continue
        if line is None:
            return
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        try:
            content = decode_json(text)
        except ValueError as error:
            yield Rejection(start, "row", Reason.NOT_JSON, str(error), text)
            continue
        yield _json_record(start, text, content)


def _json_record(line: int, text: str, content: object) -> Record | Rejection:
    if not isinstance(content, dict):
        return Rejection(line, "row", Reason.NOT_AN_OBJECT, text=text)
    for name, value in content.items():
        expected = _TYPES.get(name)
        if expected is None:
            return Rejection(line, "row", Reason.UNKNOWN_FIELD, repr(name), text)
        types, what = expected
        if value is not None and type(value) not in types:
            return Rejection(line, name, Reason.WRONG_TYPE, f"{what} expected", text)
    return Record(line, text, content)


_TEXT = (frozenset({str}), "a text")
_TYPES: dict[str, tuple[frozenset[type], str]] = {
    "name": _TEXT,
    "description": _TEXT,
    "price": (frozenset({str, JsonNumber}), "a number or a text such as 9.99"),
    "currency": _TEXT,
    "category": _TEXT,
    "stock": (frozenset({JsonNumber}), "a number"),
    "image_url": _TEXT,
    "attributes": (frozenset({dict}), "an object"),
}
