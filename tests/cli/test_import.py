"""The import over a real wire against a shop in this process: what arrives, what is tried again, what is told."""

import asyncio
import csv
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from cli.catalog_import.importing import Progress, import_catalog
from cli.catalog_import.report import ImportReport, Rejection, RejectionFile, ShopUnreachable, UnreadableFile
from cli.catalog_import.tokens import AdminLogin
from tests.cli.import_shop import EMAIL, PASSWORD, Shop, open_shop
from tests.cli.messy_catalog import MessyCatalog, write_messy_catalog

SAMPLE = Path(__file__).parents[2] / "catalog" / "products.csv"
DATA = Path(__file__).parents[1] / "data"
SEED = 20_251_121


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as opened:
        yield opened


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> MessyCatalog:
    catalog = write_messy_catalog(tmp_path_factory.mktemp("catalog") / "big.csv", rows=100_000, seed=SEED)
    print(f"seed {catalog.seed}")
    return catalog


async def load(shop: Shop, path: Path, patience_seconds: float = 5.0, in_flight: int = 3) -> ImportReport:
    async with shop.channel() as channel:
        login = AdminLogin(channel, email=EMAIL, password=PASSWORD)
        try:
            return await import_catalog(
                path, channel=channel, token_source=login, patience_seconds=patience_seconds, in_flight=in_flight
            )
        finally:
            await login.close()


def outcomes(report: ImportReport) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.rejected


def small(tmp_path: Path, rows: int) -> Path:
    return write_messy_catalog(tmp_path / "small.csv", rows=rows, seed=SEED, defective=0).path


async def test_a_second_run_of_the_same_file_changes_nothing(shop: Shop) -> None:
    first = await load(shop, SAMPLE)
    held = dict(shop.products)
    second = await load(shop, SAMPLE)
    assert outcomes(first) == (first.rows, 0, 0, 0)
    assert outcomes(second) == (0, 0, first.rows, 0)
    assert shop.products == held


async def test_a_changed_price_is_an_update(shop: Shop, tmp_path: Path) -> None:
    await load(shop, SAMPLE)
    changed = tmp_path / "changed.csv"
    changed.write_text(SAMPLE.read_text(encoding="utf-8").replace(",7.90,EUR", ",8.05,EUR"), encoding="utf-8")
    report = await load(shop, changed)
    assert report.updated == SAMPLE.read_text(encoding="utf-8").count(",7.90,EUR") > 0
    assert report.unchanged == report.rows - report.updated


async def test_the_closing_line_sums_it_up(shop: Shop) -> None:
    report = await load(shop, DATA / "messy.csv")
    assert report.closing_line().startswith("35 rows: 6 created, 0 updated, 0 unchanged, 29 rejected in ")
    assert report.closing_line().endswith(" s")


async def test_a_hundred_thousand_messy_rows_give_exactly_the_reasons_that_were_put_in(
    shop: Shop, big: MessyCatalog
) -> None:
    shop.keep_products = False
    told: list[Rejection] = []
    seen: list[Progress] = []
    async with shop.channel() as channel:
        login = AdminLogin(channel, email=EMAIL, password=PASSWORD)
        report = await import_catalog(
            big.path, channel=channel, token_source=login, progress=seen.append, rejected=told.append
        )
    assert {each.line: f"{each.field} {each.reason}" for each in told} == big.expected
    assert [each.line for each in told] == sorted(big.expected)
    assert report.reasons == big.counts()
    assert outcomes(report) == (big.good, 0, 0, len(big.expected))
    assert sum(shop.batches) == big.good
    assert [each.line for each in report.first] == sorted(big.expected)[:20]
    assert [each.rows for each in seen] == sorted(each.rows for each in seen)
    assert (seen[-1].rows, seen[-1].bytes_read) == (100_000, seen[-1].bytes_total)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
async def test_memory_does_not_grow_with_the_file(shop: Shop, tmp_path: Path) -> None:
    shop.keep_products = False
    peaks = []
    for rows in (3_000, 12_000):
        path = write_messy_catalog(tmp_path / f"{rows}.csv", rows=rows, seed=SEED).path
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        await load(shop, path, in_flight=1)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    # What grows are the digests: 24 bytes a row at most, and for a moment half as much again when their table doubles.
    assert peaks[1] - peaks[0] < 9_000 * 36 + (1 << 20), peaks


async def test_batches_are_on_their_way_side_by_side_but_not_more_than_allowed(shop: Shop, tmp_path: Path) -> None:
    shop.held_until_at_once = 3
    report = await load(shop, small(tmp_path, 8_000), in_flight=3)
    assert report.created == 8_000
    assert shop.most_at_once == 3


@pytest.mark.parametrize(
    "status",
    [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED],
)
async def test_a_passing_failure_is_tried_again(shop: Shop, tmp_path: Path, status: grpc.StatusCode) -> None:
    shop.fail_before = [status] * 4
    report = await load(shop, small(tmp_path, 3_000))
    assert outcomes(report) == (3_000, 0, 0, 0)


async def test_an_answer_that_is_lost_is_asked_for_again_and_its_rows_are_unchanged(shop: Shop, tmp_path: Path) -> None:
    shop.fail_after = [grpc.StatusCode.UNAVAILABLE]
    report = await load(shop, small(tmp_path, 3_000))
    assert outcomes(report) == (2_000, 0, 1_000, 0)
    assert len(shop.products) == 3_000


async def test_a_shop_that_stays_away_ends_the_import_with_what_was_settled(shop: Shop, tmp_path: Path) -> None:
    shop.fail_before = [grpc.StatusCode.UNAVAILABLE] * 1_000
    with pytest.raises(ShopUnreachable, match=r"does not answer; .* 0 rows were settled before"):
        await load(shop, small(tmp_path, 3_000), patience_seconds=0.5)


async def test_an_import_that_failed_goes_on_where_it_was(shop: Shop, tmp_path: Path) -> None:
    path = small(tmp_path, 5_000)
    shop.fail_after = [grpc.StatusCode.INTERNAL]
    with pytest.raises(ShopUnreachable, match="refuses the import"):
        await load(shop, path, in_flight=1)
    report = await load(shop, path)
    assert outcomes(report) == (4_000, 0, 1_000, 0)


async def test_a_token_the_shop_no_longer_takes_is_replaced(shop: Shop, tmp_path: Path) -> None:
    path = small(tmp_path, 5_000)
    shop.seconds_a_batch = 0.02
    async with shop.channel() as channel:
        login = AdminLogin(channel, email=EMAIL, password=PASSWORD)
        await login.token()
        shop.good_tokens.clear()
        report = await import_catalog(path, channel=channel, token_source=login)
    assert outcomes(report) == (5_000, 0, 0, 0)
    assert shop.logins == 2


async def test_a_token_is_renewed_before_it_ends(shop: Shop) -> None:
    now = [1000.0]
    async with shop.channel() as channel:
        login = AdminLogin(channel, email=EMAIL, password=PASSWORD, clock=lambda: now[0])
        first = await login.token()
        now[0] += 500
        assert await login.token() == first
        now[0] += 100
        second = await login.token()
        assert second != first
        await login.close()
    assert (shop.logins, shop.refreshes, shop.logouts) == (1, 1, 1)


async def test_batches_that_need_a_token_at_once_log_in_once(shop: Shop) -> None:
    async with shop.channel() as channel:
        login = AdminLogin(channel, email=EMAIL, password=PASSWORD)
        tokens = await asyncio.gather(*(login.token() for _ in range(10)))
    assert len(set(tokens)) == 1
    assert shop.logins == 1


async def test_a_wrong_password_is_told(shop: Shop) -> None:
    async with shop.channel() as channel:
        login = AdminLogin(channel, email=EMAIL, password="another")
        with pytest.raises(ShopUnreachable, match="e-mail and password"):
            await import_catalog(SAMPLE, channel=channel, token_source=login)
    assert not shop.batches


async def test_what_the_shop_refuses_is_told_with_its_line_and_reason(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "forbidden.jsonl"
    path.write_text(
        '{"name": "Good", "price": 1, "currency": "EUR", "category": "Toys", "stock": 1}\n'
        '{"name": "Forbidden fruit", "price": 1, "currency": "EUR", "category": "Fruit", "stock": 1}\n'
        '{"name": "", "price": 1, "currency": "EUR", "category": "Fruit", "stock": 1}\n'
    )
    report = await load(shop, path)
    assert outcomes(report) == (1, 0, 0, 2)
    assert [each.line for each in report.first] == [2, 3]
    assert report.first[0].text.startswith('{"name": "Forbidden fruit"')


async def test_a_pipe_that_turns_bad_keeps_what_came_before(shop: Shop, tmp_path: Path) -> None:
    content = small(tmp_path, 3_000).read_bytes() + b"\xff\xfe\n"
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    with pytest.raises(UnreadableFile, match=r"not in UTF-8.*\d+ rows were settled before"):
        await load(shop, pipe)
    await asyncio.to_thread(writer.join)
    assert len(shop.products) >= 2_000


async def test_the_report_has_every_refused_row_as_it_stood_in_the_file(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "rejected.csv"
    async with shop.channel() as channel:
        login = AdminLogin(channel, email=EMAIL, password=PASSWORD)
        with RejectionFile(path) as file:
            await import_catalog(DATA / "messy.csv", channel=channel, token_source=login, rejected=file.write)
    with path.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    lines = (DATA / "messy.csv").read_text(encoding="utf-8").split("\n")
    assert len(rows) == 29
    assert all(row["row"] == lines[int(row["line"]) - 1] for row in rows)
    assert (rows[1]["line"], rows[1]["field"], rows[1]["reason"]) == ("6", "price", "is negative: -3.00")
