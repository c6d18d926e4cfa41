"""Opening a catalog file: gzip, encoding, which of the formats it is, and its physical lines with a bound on each."""

import codecs
import gzip
import io
import os
import stat
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from cli.catalog_import.report import UnreadableFile

LONGEST_ROW = 65_536
"""Characters a row may have. Below the csv module's own bound of 131 072 a field, which is global to the process."""

_CHUNK = 1 << 20
_SNIFFED = 4096
_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"\xff\xfe\x00\x00": "is in UTF-32",
    b"\x00\x00\xfe\xff": "is in UTF-32",
    b"\xff\xfe": "is in UTF-16",
    b"\xfe\xff": "is in UTF-16",
    b"PK\x03\x04": "is a spreadsheet or another zip archive",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook",
}


_READING_FAILS = (OSError, EOFError, zlib.error, UnicodeDecodeError)


class Format(Enum):
    """How a catalog file is written."""

    CSV = auto()
    JSON_LINES = auto()


class RowTooLong(Exception):
    """A row has more than `LONGEST_ROW` characters."""


class PhysicalLines:
    """The lines of a text file, one row's at a time. A row that goes wrong can be taken up again at its second line.

    An iterator for `csv.reader`, which asks for as many lines as a row with quoted newlines needs. Memory is bounded by
    `LONGEST_ROW`, whatever the file holds.
    """

    def __init__(self, text: TextIO, path: Path) -> None:
        self._text = text
        self._path = path
        self._again: deque[str | None] = deque()  # None stands for a line that was too long to be kept
        self._row: list[str | None] = []
        self._length = 0
        self.number = 0
        """How many lines have been handed out: the number of the latest, from 1."""

    def __iter__(self) -> Iterator[str]:
        """Return itself."""
        return self

    def __next__(self) -> str:
        """Return the next line with its end.

        Raises:
            RowTooLong: the row would get too long with it.
        """
        line = self._again.popleft() if self._again else self._read()
        if line == "":
            raise StopIteration
        self.number += 1
        self._row.append(line)
        if line is None:
            raise RowTooLong
        self._length += len(line)
        if self._length > LONGEST_ROW:
            raise RowTooLong
        return line

    def begin_row(self) -> None:
        """Forget the lines of the row before."""
        self._row = []
        self._length = 0

    def row_text(self) -> str:
        """Return the row as it stands in the file, without its last line end."""
        return "".join(line or "" for line in self._row).rstrip("\r\n")

    def row_lines(self) -> list[str]:
        """Return the lines of the row."""
        return [line or "" for line in self._row]

    def back_to_second_line(self) -> str:
        """Hand the row's lines out again, all but the first. Returns the first, without its end."""
        first, *rest = self._row
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)
        return (first or "").rstrip("\r\n")

    def _read(self) -> str | None:
        try:
            line = self._text.readline(LONGEST_ROW + 1)
            if len(line) <= LONGEST_ROW:
                return line
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(LONGEST_ROW)
            return None
        except _READING_FAILS as error:
            raise _unreadable(self._path, error) from None


class CatalogFile:
    """An open catalog file.

    Attributes:
        format: how it is written.
        lines: its physical lines.
        size: bytes on the disk, 0 where that is not known (a pipe).
    """

    def __init__(self, format_: Format, lines: PhysicalLines, raw: BinaryIO, size: int) -> None:
        self.format = format_
        self.lines = lines
        self.size = size
        self._raw = raw

    def position(self) -> int:
        """Return how many bytes of the file on the disk have been read."""
        return self._raw.tell() if self.size else 0


@contextmanager
def open_catalog(path: Path) -> Iterator[CatalogFile]:
    """Open the catalog file at `path`; close it in the end.

    A regular file is read once through before anything else, so that one in another encoding is refused before its
    first row is imported. A pipe cannot be read twice: there the refusal comes where the bad bytes are.

    Raises:
        UnreadableFile: it is missing, a directory, no UTF-8, damaged, or of another kind altogether.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from None
    with raw:
        size = _check(raw, path)
        with _binary(raw, path) as content:
            try:
                format_ = _format(path, _head(content))
            except _READING_FAILS as error:
                raise _unreadable(path, error) from None
            text = io.TextIOWrapper(cast("BinaryIO", content), encoding="utf-8-sig", newline="")
            try:
                yield CatalogFile(format_, PhysicalLines(text, path), raw, size)
            finally:
                text.detach()


def _check(raw: io.BufferedReader, path: Path) -> int:
    """Read a regular file through and rewind it. Returns its size in bytes, 0 for a pipe, which is left alone."""
    try:
        status = os.fstat(raw.fileno())
        if not stat.S_ISREG(status.st_mode):
            return 0
        with _binary(raw, path) as content:
            _check_encoding(content, path)
        raw.seek(0)
    except _READING_FAILS as error:
        raise _unreadable(path, error) from None
    return status.st_size


@contextmanager
def _binary(raw: io.BufferedReader, path: Path) -> Iterator[io.BufferedReader | gzip.GzipFile]:
    """Give the content of `raw`, decompressed where it is gzip, whatever the file is called."""
    start = raw.peek(len(_GZIP))[:4]
    for mark, what in _FOREIGN.items():
        if start.startswith(mark):
            raise UnreadableFile(f"{path} {what}; save it as CSV in UTF-8.")
    if start.startswith(_GZIP):
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield unpacked
    else:
        yield raw


def _check_encoding(content: io.BufferedReader | gzip.GzipFile, path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    first = True
    while True:
        chunk = content.read(_CHUNK)
        if first:
            if not chunk:
                raise UnreadableFile(f"{path} is empty.")
            if chunk.count(b"\0", 0, _SNIFFED) * 4 > min(len(chunk), _SNIFFED):
                raise UnreadableFile(f"{path} is in UTF-16 or not a text at all; save it as CSV in UTF-8.")
            first = False
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, error, line + error.object[: error.start].count(b"\n")) from None
        if not chunk:
            return
        line += chunk.count(b"\n")


def _not_utf8(path: Path, error: UnicodeDecodeError, line: int | None = None) -> UnreadableFile:
    where = f"line {line} holds" if line else "it holds"
    byte = error.object[error.start]
    return UnreadableFile(f"{path} is not in UTF-8: {where} the byte 0x{byte:02X}; save it in UTF-8 and try again.")


def _unreadable(path: Path, error: Exception) -> UnreadableFile:
    match error:
        case UnicodeDecodeError():
            return _not_utf8(path, error)
        case EOFError() | zlib.error() | gzip.BadGzipFile():
            return UnreadableFile(f"{path} is damaged: it cannot be decompressed ({error}).")
        case OSError():
            return UnreadableFile(f"{path} cannot be read: {error.strerror or error}.")
        case _:
            return UnreadableFile(f"{path} cannot be read: {error}.")


def _head(content: io.BufferedReader | gzip.GzipFile) -> str:
    start = content.peek(_SNIFFED)[:_SNIFFED]
    return start.decode("utf-8-sig", errors="ignore").lstrip()


def _format(path: Path, head: str) -> Format:
    """Tell the format: an object at the beginning is JSON Lines; else the suffix says; else it is CSV."""
    if head.startswith("{"):
        return Format.JSON_LINES
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if suffixes and suffixes[-1] in {".jsonl", ".ndjson", ".json"}:
        if head.startswith("["):
            raise UnreadableFile(
                f"{path} holds a JSON array; JSON Lines has one object a line, without brackets around."
            )
        return Format.JSON_LINES
    return Format.CSV
