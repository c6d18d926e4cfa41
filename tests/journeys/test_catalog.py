"""Real input: a messy file goes into the running shop, and what is good in it can be bought."""

import random
import re
from pathlib import Path

import pytest

from tests.cli.messy_catalog import write_messy_catalog
from tests.journeys.conftest import eventually
from tests.journeys.running import PROJECT, RunningShop
from tests.journeys.transports import Client, Rest

ROWS = 3000

# The command line does the importing: once is enough, and twice would not be the first time.
pytestmark = pytest.mark.parametrize("transport", [Rest], indirect=True, ids=["REST"])

SOME_REFUSED = 3
"""The exit code of an import that refused some rows."""


async def test_the_first_start_loads_the_sample_catalog(nobody: Client, shop: RunningShop) -> None:
    products = await nobody.call("ProductService.ListProducts", {"pageSize": 1})
    categories = await nobody.call("ProductService.ListCategories", {"pageSize": 100})
    oil = await nobody.call("ProductService.ListProducts", {"query": "olive oil", "orderBy": "price desc"})

    assert products["totalSize"] >= 500
    assert len(categories["categories"]) >= 12
    assert oil["products"]
    again = shop.zoco("import", str(PROJECT / "catalog" / "products.csv"))
    assert re.search(r"\b(\d+) rows: 0 created, 0 updated, \1 unchanged, 0 rejected", again.stdout)


async def test_good_rows_of_a_messy_file_are_kept_and_bad_ones_named(
    shop: RunningShop,
    nobody: Client,
    tmp_path: Path,
    rng: random.Random,
) -> None:
    messy = write_messy_catalog(tmp_path / "messy.csv", rows=ROWS, seed=rng.randrange(2**32))
    report = tmp_path / "refused.csv"

    first = shop.zoco("import", str(messy.path), "--report", str(report), check=False)
    second = shop.zoco("import", str(messy.path), check=False)

    refused = messy.rows - messy.good
    assert (first.returncode, second.returncode) == (SOME_REFUSED, SOME_REFUSED), first.stderr
    assert f"{messy.rows} rows: {messy.good} created, 0 updated, 0 unchanged, {refused} rejected" in first.stdout
    assert f"{messy.rows} rows: 0 created, 0 updated, {messy.good} unchanged, {refused} rejected" in second.stdout
    assert len(report.read_text(encoding="utf-8").splitlines()) > refused

    newest = await nobody.call("ProductService.ListProducts", {"orderBy": "create_time desc", "pageSize": 100})

    async def is_stocked() -> bool:
        ids = [each["id"] for each in newest["products"]]
        return not (await nobody.call("InventoryService.BatchGetStock", {"productIds": ids}))["missingIds"]

    await eventually(is_stocked, "stock of every imported product", limit=60)
