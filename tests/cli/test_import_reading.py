"""What is read from a catalog file, and what is refused with which reason on which line."""

import gzip
import json
import os
import threading
from pathlib import Path

import pytest

from cli.catalog_import.batches import MOST_BYTES, batches
from cli.catalog_import.files import LONGEST_ROW, open_catalog
from cli.catalog_import.records import COLUMNS, Record, records
from cli.catalog_import.report import Rejection, UnreadableFile
from cli.catalog_import.rows import RowReader
from zoco.product.v1.product_service_pb2 import ImportRow

DATA = Path(__file__).parents[1] / "data"
SAMPLE = Path(__file__).parents[2] / "catalog" / "products.csv"
HEADER = ",".join(COLUMNS) + "\n"


def read(path: Path, currency: str = "EUR") -> tuple[list[ImportRow], list[Rejection]]:
    reader = RowReader(currency)
    with open_catalog(path) as file:
        found = [each if isinstance(each, Rejection) else reader.read(each) for each in records(file, path)]
    return [row for row in found if isinstance(row, ImportRow)], [row for row in found if isinstance(row, Rejection)]


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def one_row(**cells: str) -> str:
    row = {"name": "Bread", "price": "1.00", "currency": "EUR", "category": "Bakery", "stock": "1"} | cells
    return HEADER + ",".join('"' + row.get(name, "").replace('"', '""') + '"' for name in COLUMNS) + "\n"


@pytest.mark.parametrize("name", ["messy.csv", "messy.jsonl"])
def test_each_messy_row_gets_its_reason_at_its_physical_line(name: str) -> None:
    _, refused = read(DATA / name)
    told = [f"{each.line} {each.field} {each.reason}" for each in refused]
    assert told == (DATA / f"{name}.expected").read_text().splitlines()


def test_the_good_rows_of_a_messy_file_are_kept() -> None:
    rows, _ = read(DATA / "messy.csv")
    assert [(row.line, row.name) for row in rows] == [
        (2, "Pan de Masa Madre"),
        (3, 'Queso "El Abuelo"'),
        (34, "Swallowed but good"),
        (35, "Good after all"),
        (36, "Pan de Masa Madre"),
        (39, "Last Without Newline"),
    ]
    assert rows[1].description == "Two lines\nof description, with a comma."
    assert (rows[1].price.units, rows[1].price.nanos, rows[1].price.currency_code) == (9, 500_000_000, "EUR")
    assert rows[3].attributes == {"note": 'it\'s "quoted"'}


def test_the_good_rows_of_a_messy_json_lines_file_are_kept() -> None:
    rows, _ = read(DATA / "messy.jsonl")
    assert [(row.line, row.name) for row in rows] == [
        (1, "Pan de Masa Madre"),
        (2, "Price as a text"),
        (24, "Pretty bread \N{BREAD}"),
    ]
    assert rows[0].attributes == {"weight": "1 kg"}
    assert (rows[1].price.units, rows[1].price.nanos) == (9, 500_000_000)


def test_the_sample_catalog_has_five_hundred_good_products_in_twelve_categories() -> None:
    rows, refused = read(SAMPLE)
    assert not refused
    assert len(rows) >= 500
    assert len({row.category for row in rows}) == 12
    assert len({row.name.casefold() for row in rows}) == len(rows)
    assert all(row.description and row.attributes and row.image_url for row in rows)
    assert SAMPLE.read_text(encoding="utf-8").startswith(HEADER)


def test_a_byte_order_mark_crlf_and_semicolons_are_understood(tmp_path: Path) -> None:
    text = (HEADER + "Pan,Con queso,1.00,EUR,Bakery,3,,\n").replace(",", ";").replace("\n", "\r\n")
    rows, refused = read(written(tmp_path / "excel.csv", text, "utf-8-sig"))
    assert not refused
    assert [(row.line, row.name, row.description) for row in rows] == [(2, "Pan", "Con queso")]


def test_columns_may_stand_in_another_order_and_optional_ones_be_left_out(tmp_path: Path) -> None:
    rows, refused = read(written(tmp_path / "short.csv", "Stock,Category,CURRENCY, name ,price\n3,Bakery,EUR,Pan,1\n"))
    assert not refused
    assert [(row.name, row.initial_stock, row.price.units) for row in rows] == [("Pan", 3, 1)]


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.csv"])
def test_gzip_is_recognised_by_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(one_row().encode()))
    rows, _ = read(tmp_path / name)
    assert [row.name for row in rows] == ["Bread"]


def test_json_lines_are_recognised_by_their_content(tmp_path: Path) -> None:
    row = {"name": "Pan", "price": 0.1, "currency": "EUR", "category": "Bakery", "stock": 3}
    rows, refused = read(written(tmp_path / "rows.txt", json.dumps(row)))
    assert not refused
    assert [(row.name, row.price.nanos) for row in rows] == [("Pan", 100_000_000)]


def test_a_pipe_can_be_read_too(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=written, args=(pipe, one_row()))
    writer.start()
    rows, _ = read(pipe)
    writer.join()
    assert [row.name for row in rows] == ["Bread"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n\n", "has no header"),
        ((HEADER + "A\xf1ejo,,1,EUR,Oil,1,,\n").encode("latin-1"), "not in UTF-8: line 2 holds the byte 0xF1"),
        ((HEADER * 3).encode("utf-16"), "is in UTF-16"),
        (HEADER.encode("utf-16-le"), "is in UTF-16"),
        (b"PK\x03\x04rest of a workbook", "is a spreadsheet"),
        (b"\x1f\x8b\x08\x00garbage garbage garbage", "is damaged"),
        (gzip.compress(HEADER.encode())[:-9], "is damaged"),
        (b"name,price,currency\n", "lacks columns category, stock"),
        (HEADER.replace("stock", "stock,colour").encode(), "has the unknown column colour"),
        (HEADER.replace("stock", "stock,Name").encode(), "repeats column name"),
        (b'"name', "lacks columns"),
    ],
)
def test_a_file_that_is_no_catalog_is_refused_with_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile) as refused:
        read(path)
    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_json_array_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="JSON array"):
        read(written(tmp_path / "rows.json", '[{"name": "Pan"}]'))


@pytest.mark.parametrize("name", ["missing.csv", ""])
def test_a_missing_file_or_a_directory_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read(tmp_path / name)


def test_bytes_that_are_no_utf8_far_into_the_file_are_found_before_the_first_row_is_given(tmp_path: Path) -> None:
    path = tmp_path / "late.csv"
    path.write_bytes((HEADER + "Pan,,1,EUR,Bakery,1,,\n" * 200_000).encode() + b"\xff\n")
    with pytest.raises(UnreadableFile, match="line 200002 holds the byte 0xFF"), open_catalog(path):
        pytest.fail("it was opened")


def test_an_open_quote_costs_one_row_even_if_no_other_quote_follows(tmp_path: Path) -> None:
    good = "".join(f"Good {number},,1,EUR,Bakery,1,,\n" for number in range(20_000))
    rows, refused = read(written(tmp_path / "open.csv", HEADER + '"Open,,1,EUR,Bakery,1,,\n' + good))
    assert [(each.line, each.reason) for each in refused] == [(2, "has a quote that is not closed or not doubled")]
    assert [row.line for row in rows] == list(range(3, 20_003))


@pytest.mark.parametrize(
    ("opened", "follow", "names"),
    [
        # The second line closes the quote so that the whole looks like one row of the right width.
        ("Open,,1,EUR,Bakery,1,,", ['Tube 5",,1,EUR,Bakery,1,,'], ['Tube 5"']),
        ("Open,,1,EUR,Bakery,1,,", ["Good,,1,EUR,Bakery,1,,", 'Tube 5",,1,EUR,Bakery,1,,'], ["Good", 'Tube 5"']),
        ("Open,,1,EUR,Bakery,1,,", ['Good,"",1,EUR,Bakery,1,,', 'Tube,5",1,EUR,Bakery,1,,'], ["Good", "Tube"]),
        # The first line is no row by itself; that the second is one shows it.
        ("Open,too short", ["Good,,1,EUR,Bakery,1,,", 'Tube 5",,1,EUR,Bakery,1,,'], ["Good", 'Tube 5"']),
    ],
)
def test_an_open_quote_that_meets_another_one_swallows_no_good_row(
    tmp_path: Path, opened: str, follow: list[str], names: list[str]
) -> None:
    text = HEADER + "\n".join(['"' + opened, *follow, "Last,,1,EUR,Bakery,1,,"])
    rows, refused = read(written(tmp_path / "open.csv", text))
    assert [(each.line, each.reason) for each in refused] == [(2, "has a quote that is not closed or not doubled")]
    assert [row.name for row in rows] == [*names, "Last"]


@pytest.mark.parametrize(
    "cells",
    [
        {"description": "Two lines,\nwith commas, one, two, three, four, five, six\nand a third."},
        {"attributes": '{\n "weight": "1 kg"\n}'},
        {"description": "Compare:\nOther bread,,2.10,EUR,\nfor less."},
        {"name": "A name\non two lines", "description": "And\nso\non."},
    ],
)
def test_cells_of_several_lines_are_one_row(tmp_path: Path, cells: dict[str, str]) -> None:
    rows, refused = read(written(tmp_path / "lines.csv", one_row(**cells) + "Last,,1,EUR,Bakery,1,,\n"))
    assert not refused
    assert [row.line for row in rows] == [2, 3 + sum(cell.count("\n") for cell in cells.values())]


def test_a_line_without_end_costs_one_row_and_no_memory(tmp_path: Path) -> None:
    endless = "x" * (20 * LONGEST_ROW)
    rows, refused = read(written(tmp_path / "endless.csv", HEADER + endless + "\nGood,,1,EUR,Bakery,1,,\n"))
    assert [(each.line, each.reason, len(each.text) <= LONGEST_ROW) for each in refused] == [
        (2, "is longer than a row may be", True)
    ]
    assert [(row.line, row.name) for row in rows] == [(3, "Good")]


def test_accents_typed_in_two_ways_are_one_product(tmp_path: Path) -> None:
    text = HEADER + "A\u00f1ejo,,1,EUR,Oil,1,,\nAn\u0303ejo,,1,EUR,Oil,1,,\n"
    rows, refused = read(written(tmp_path / "accents.csv", text))
    assert [row.line for row in rows] == [2]
    assert [(each.line, each.detail) for each in refused] == [(3, "line 2")]


def test_a_row_that_was_refused_does_not_make_the_corrected_one_a_repeat(tmp_path: Path) -> None:
    text = HEADER + "Pan,,-1,EUR,Bakery,1,,\nPan,,1,EUR,Bakery,1,,\n"
    rows, refused = read(written(tmp_path / "corrected.csv", text))
    assert [row.line for row in rows] == [3]
    assert [each.line for each in refused] == [2]


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "https://a.example:8443/x",
        "HTTPS://a.example/x?y=1#z",
        "https://xn--a-1ga.example/%20",
        "https://año.example/",
    ],
)
def test_an_https_address_is_taken(tmp_path: Path, url: str) -> None:
    rows, refused = read(written(tmp_path / "url.csv", one_row(image_url=url)))
    assert not refused
    assert [row.image_url for row in rows] == [url]


@pytest.mark.parametrize(
    "url",
    [
        "https:/a.example",
        "https://",
        "https:///x",
        "//a.example",
        "https://a.example:70000/",
        "https://u:p@a.example/",
        "javascript:x",
    ],
)
def test_another_address_is_refused(tmp_path: Path, url: str) -> None:
    _, refused = read(written(tmp_path / "url.csv", one_row(image_url=url)))
    assert [(each.field, each.reason) for each in refused] == [("image_url", "is not an https address")]


@pytest.mark.parametrize(
    ("currency", "price", "nanos"), [("JPY", "120", 0), ("EUR", "120.5", 500_000_000), ("KWD", "120.125", 125_000_000)]
)
def test_a_price_is_as_exact_as_its_currency(tmp_path: Path, currency: str, price: str, nanos: int) -> None:
    rows, refused = read(written(tmp_path / "exact.csv", one_row(price=price, currency=currency)), currency)
    assert not refused
    assert [(row.price.units, row.price.nanos) for row in rows] == [(120, nanos)]
    finer = price + "00" if "." in price else price + ".0"
    _, refused = read(written(tmp_path / "finer.csv", one_row(price=finer, currency=currency)), currency)
    assert [(each.field, each.reason) for each in refused] == [("price", "has more decimals than its currency")]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (json.dumps({str(number): "x" for number in range(51)}), "has too many entries"),
        (json.dumps({"k" * 65: "x"}), "is too long"),
        (json.dumps({"k": "x" * 501}), "is too long"),
        (json.dumps({"": "x"}), "is missing"),
        (json.dumps({"k": "\0"}), "holds a NUL character"),
        ("[" * 50_000, "is not valid JSON"),
        ('{"k": ' + "9" * 5000 + "}", "is not a JSON object of texts"),
    ],
)
def test_attributes_keep_to_the_bounds_of_the_contract(tmp_path: Path, attributes: str, reason: str) -> None:
    _, refused = read(written(tmp_path / "attributes.csv", one_row(attributes=attributes)))
    assert [(each.field, each.reason) for each in refused] == [("attributes", reason)]


def test_batches_keep_to_a_thousand_rows_and_a_mebibyte() -> None:
    cells = {"price": "1.00", "currency": "EUR", "category": "Bakery", "stock": "1"}
    small = (Record(n, "", cells | {"name": f"small {n}"}) for n in range(2500))
    assert [len(batch.rows) for batch in batches(small, RowReader("EUR"))] == [1000, 1000, 500]
    large = (Record(n, "", cells | {"name": f"large {n}", "description": "ñ" * 5000}) for n in range(500))
    made = list(batches(large, RowReader("EUR")))
    assert sum(len(batch.rows) for batch in made) == 500
    assert max(batch.bytes for batch in made) <= MOST_BYTES
    assert max(sum(row.ByteSize() + 4 for row in batch.rows) for batch in made) < 2 * MOST_BYTES


def test_refused_rows_alone_make_batches_too() -> None:
    refused = (Rejection(n, "row", "is refused") for n in range(2500))
    assert [len(batch.rejections) for batch in batches(refused, RowReader("EUR"))] == [1000, 1000, 500]
