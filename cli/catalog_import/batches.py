"""Rows in portions that fit into one call."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cli.catalog_import.records import Record
from cli.catalog_import.report import Rejection
from cli.catalog_import.rows import RowReader
from zoco.product.v1.product_service_pb2 import ImportRow

MOST_ROWS = 1000
"""Rows a call may carry: ImportProductsRequest says so."""

MOST_BYTES = 1 << 20
"""Bytes of rows in a call; well below the 4 MiB that gRPC and the edge let through."""


@dataclass
class Batch:
    """A run of rows of the file: those to be sent, and those among them that are refused already.

    Attributes:
        rows: what is sent, at most `MOST_ROWS`.
        texts: the same rows as they stand in the file, for the case that the shop refuses one.
        rejections: what is not sent, at most `MOST_ROWS`.
        bytes: size of `rows` on the wire.
    """

    rows: list[ImportRow] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    bytes: int = 0


def batches(source: Iterable[Record | Rejection], reader: RowReader, most_rows: int = MOST_ROWS) -> Iterator[Batch]:
    """Yield the rows of `source` in batches, in order. A batch is never empty, but may hold nothing to send."""
    batch = Batch()
    for record in source:
        row = record if isinstance(record, Rejection) else reader.read(record)
        match row:
            case Rejection():
                batch.rejections.append(row)
            case _:
                size = row.ByteSize()
                if batch.rows and batch.bytes + size > MOST_BYTES:
                    yield batch
                    batch = Batch()
                batch.rows.append(row)
                batch.texts.append(record.text)
                batch.bytes += size
        if len(batch.rows) >= most_rows or len(batch.rejections) >= most_rows:
            yield batch
            batch = Batch()
    if batch.rows or batch.rejections:
        yield batch
