"""Makes big catalog files with known defects, the same ones for the same seed."""

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cli.catalog_import.records import COLUMNS

_SHELVES = "Cheese Ham Fish Oil Fruit Bakery Rice Spices Wine Coffee Kitchen Home"
_WORDS = """
    smoked aged fresh golden rustic mild peppery sweet salted dry creamy crisp roasted young wild ripe honest dark light
    almond oak garlic saffron lemon honey paprika fig olive thyme chestnut orange quince añejo jamón piñón açorda
"""

Row = dict[str, str]
Defect = tuple[str, Callable[[Row, random.Random], str]]


@dataclass(frozen=True)
class MessyCatalog:
    """A catalog file and what is wrong in it.

    Attributes:
        path: the file.
        seed: what it was made from.
        rows: rows in all.
        good: rows without a defect.
        expected: `field reason` of each defective row by its physical line.
    """

    path: Path
    seed: int
    rows: int
    good: int
    expected: dict[int, str]

    def counts(self) -> dict[str, int]:
        """Return how often each defect occurs."""
        return dict(Counter(self.expected.values()))


def write_messy_catalog(path: Path, *, rows: int, seed: int, defective: float = 0.05) -> MessyCatalog:
    """Write a CSV file of `rows` rows, a share of them defective, and of the good ones some with quoted newlines."""
    rng = random.Random(seed)
    expected: dict[int, str] = {}
    line = 2
    good_rows: list[Row] = []
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for number in range(rows):
            row = _row(number, rng)
            if good_rows and rng.random() < defective:
                name, spoil = _DEFECTS[rng.randrange(len(_DEFECTS))]
                expected[line] = name
                if name == _REPEATED:
                    row = rng.choice(good_rows) | {"price": "1.00"}
                text = spoil(row, rng)
            else:
                text = _text(row)
                if len(good_rows) < 100:
                    good_rows.append(row)
            file.write(text)
            line += text.count("\n")
    return MessyCatalog(path, seed, rows, rows - len(expected), expected)


def _row(number: int, rng: random.Random) -> Row:
    words, shelves = _WORDS.split(), _SHELVES.split()
    description = " ".join(rng.choices(words, k=rng.randint(6, 24)))
    if rng.random() < 0.1:
        description = description.replace(" ", "\n", 2).replace(" ", ', "', 1)
    return {
        "name": f"{rng.choice(words).title()} {rng.choice(words)} no. {number}",
        "description": description.capitalize() + ".",
        "price": f"{rng.randint(1, 9999)}.{rng.randint(0, 99):02}",
        "currency": "EUR",
        "category": rng.choice(shelves),
        "stock": str(rng.randint(0, 500)),
        "image_url": f"https://images.zoco.example/messy/{number}.jpg",
        "attributes": json.dumps(
            {"weight": f"{rng.randint(1, 20) * 50} g", "taste": rng.choice(words)}, ensure_ascii=False
        ),
    }


def _text(row: Row) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([row[name] for name in COLUMNS])
    return buffer.getvalue()


def _with(field: str, *values: str) -> Callable[[Row, random.Random], str]:
    return lambda row, rng: _text(row | {field: rng.choice(values)})


def _one_line(row: Row) -> Row:
    return row | {"description": "On one line."}


_REPEATED = "name repeats an earlier row"
_DEFECTS: tuple[Defect, ...] = (
    ("name is missing", _with("name", "", "   ", "\t")),
    ("name is too long", _with("name", "n" * 201)),
    ("name holds a NUL character", _with("name", "nul\0nul")),
    (_REPEATED, lambda row, _: _text(row | {"name": f"  {row['name'].upper()} "})),
    ("description is too long", _with("description", "d" * 5001)),
    ("price is missing", _with("price", "")),
    ("price is negative", _with("price", "-0.01", "-12", "-3.50")),
    ("price is zero", _with("price", "0", "0.00")),
    ("price has more decimals than its currency", _with("price", "1.999", "0.001")),
    ("price is not a decimal number such as 9.99", _with("price", "free", "1.2.3", "1e3", "9.99 EUR", "NaN", "١٢")),
    ("price has a comma where a decimal point belongs", _with("price", "1,99", "12,5")),
    ("currency is not the shop's currency", _with("currency", "USD", "GBP", "jpy")),
    ("currency is not an ISO 4217 currency code", _with("currency", "XXQ", "euros", "€")),
    ("category is missing", _with("category", "", " ")),
    ("stock is negative", _with("stock", "-1", "-500")),
    ("stock is not a whole number", _with("stock", "1.5", "some", "1e2", "0x10")),
    ("stock is too large", _with("stock", "1000000001", "9" * 30)),
    (
        "image_url is not an https address",
        _with("image_url", "http://a.example/x.jpg", "x.jpg", "https://a b/", "https://a:99999/"),
    ),
    ("attributes is not valid JSON", _with("attributes", "{", "{'a': 'b'}", '{"a": "b",}', '{"a":"1","a":"2"}')),
    ("attributes is not a JSON object of texts", _with("attributes", "[]", "3", '{"a": 1}', '{"a": {}}')),
    (
        "row has the wrong number of columns",
        lambda row, rng: _text(_one_line(row)).rstrip("\n") + ",more" * rng.randint(1, 3) + "\n",
    ),
    (
        "row has a quote that is not closed or not doubled",
        lambda row, rng: _text(_one_line(row)).replace("On one line.", rng.choice(('"open', '"an "inner" quote"'))),
    ),
)
