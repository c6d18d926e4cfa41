"""`zoco import` as a person calls it: what it prints, what it writes, how it ends."""

import asyncio
import csv
import io
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from rich.console import Console

from cli.catalog_import import session
from cli.catalog_import.importing import Progress
from cli.catalog_import.target import Target, find_target
from cli.failures import Failure
from cli.local.home import Home
from cli.local.settings import LocalSettings
from tests.cli.import_shop import EMAIL, PASSWORD, Shop, open_shop
from tests.cli.messy_catalog import write_messy_catalog

PROJECT = Path(__file__).parents[2]
DATA = PROJECT / "tests" / "data"
SAMPLE = PROJECT / "catalog" / "products.csv"


@dataclass(frozen=True)
class Ended:
    code: int
    output: list[str]
    errors: str


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as opened:
        yield opened


async def zoco_import(shop: Shop | None, home: Path, *arguments: str, **environment: str) -> Ended:
    address = ("--address", shop.address) if shop else ()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli", "import", *arguments, *address),
        cwd=PROJECT,
        env={
            **os.environ,
            "ZOCO_HOME": str(home),
            "ZOCO_ADMIN_EMAIL": EMAIL,
            "ZOCO_ADMIN_PASSWORD": PASSWORD,
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode().splitlines(), errors.decode())


async def test_a_good_file_ends_with_its_closing_line_and_zero(shop: Shop, tmp_path: Path) -> None:
    ended = await zoco_import(shop, tmp_path, str(SAMPLE))
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output[-1].startswith("524 rows: 524 created, 0 updated, 0 unchanged, 0 rejected in ")
    assert len(ended.output) == 1
    assert (shop.logins, shop.logouts) == (1, 1)


async def test_refused_rows_end_it_with_three_and_are_shown_with_their_reasons(shop: Shop, tmp_path: Path) -> None:
    ended = await zoco_import(shop, tmp_path, str(DATA / "messy.csv"), "--report", str(tmp_path / "refused.csv"))
    assert (ended.code, ended.errors) == (3, "")
    assert ended.output[:2] == ["line 5: name is missing", "line 6: price is negative: -3.00"]
    assert ended.output[20] == f"... and 9 more; {tmp_path / 'refused.csv'} has them all."
    counts = [line.rstrip().split(maxsplit=1) for line in ended.output[21:-1]]
    assert counts[0] == ["rows", "reason"]
    assert ["2", "row has the wrong number of columns"] in counts
    assert ended.output[-1].startswith("35 rows: 6 created")
    with (tmp_path / "refused.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 29


async def test_what_a_file_holds_does_not_steer_the_terminal(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "hostile.csv"
    path.write_text("name,price,currency,category,stock\nPan,\x1b[2J[bold]1[/bold],EUR,Bakery,1\n")
    ended = await zoco_import(shop, tmp_path, str(path))
    assert ended.output[0] == "line 2: price is not a decimal number such as 9.99: \ufffd[2J[bold]1[/bold]"


@pytest.mark.parametrize(
    ("content", "sentence"), [("", "is empty."), ("name;price\n", "lacks columns currency, category, stock")]
)
async def test_a_file_that_cannot_be_read_ends_it_with_one(
    shop: Shop, tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(content)
    ended = await zoco_import(shop, tmp_path, str(path))
    assert (ended.code, ended.output) == (1, [])
    assert ended.errors.startswith("zoco: ")
    assert sentence in ended.errors
    assert ended.errors.count("\n") == 1


async def test_a_report_that_cannot_be_written_is_told_before_anything_is_imported(shop: Shop, tmp_path: Path) -> None:
    ended = await zoco_import(shop, tmp_path, str(SAMPLE), "--report", str(tmp_path / "no" / "report.csv"))
    assert (ended.code, ended.output, shop.batches) == (1, [], [])
    assert "cannot be written" in ended.errors


async def test_a_wrong_password_ends_it_with_one_sentence(shop: Shop, tmp_path: Path) -> None:
    ended = await zoco_import(shop, tmp_path, str(SAMPLE), ZOCO_ADMIN_PASSWORD="another")
    assert (ended.code, ended.output) == (1, [])
    assert "does not take the administrator's e-mail and password" in ended.errors
    assert "another" not in ended.errors


async def test_a_shop_that_does_not_run_is_told(shop: Shop, tmp_path: Path) -> None:
    shop.fail_before = [grpc.StatusCode.PERMISSION_DENIED]
    refused = await zoco_import(shop, tmp_path, str(SAMPLE))
    assert refused.code == 1
    assert "only an administrator" in refused.errors
    nobody = await zoco_import(Shop(address="127.0.0.1:1"), tmp_path, str(SAMPLE))
    assert (nobody.code, "127.0.0.1:1: The shop does not answer" in nobody.errors) == (1, True)
    nothing = await zoco_import(None, tmp_path, str(SAMPLE))
    assert (nothing.code, "Nothing runs here" in nothing.errors) == (1, True)


def test_in_a_log_progress_is_a_line_every_five_seconds() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), width=100)
    lines = session.ProgressLines(console, clock=lambda: now[0])
    for second in range(12):
        now[0] = second
        lines.show(Progress(bytes_read=second * 5, bytes_total=100, rows=second * 1000, rejected=second))
    lines.show(Progress(bytes_read=55, bytes_total=0, rows=11_000, rejected=11))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == ["5000 rows (25 %), 5 rejected", "10000 rows (50 %), 10 rejected"]


async def test_on_a_terminal_progress_is_a_bar(shop: Shop, tmp_path: Path) -> None:
    path = write_messy_catalog(tmp_path / "bar.csv", rows=3_000, seed=1, defective=0).path
    shop.seconds_a_batch = 0.3
    console = Console(file=io.StringIO(), force_terminal=True, highlight=False, width=100)
    request = session.Request(path, None, "EUR", 1)
    code = await asyncio.to_thread(session.run, request, Target(shop.address, False, EMAIL, PASSWORD), console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert code == 0
    assert "bar.csv" in shown
    assert "2000 rows, 0 rejected" in shown
    assert "3000 rows: 3000 created, 0 updated" in shown.rstrip().rpartition("\n")[2]


async def test_an_interrupted_import_says_what_stays(shop: Shop, tmp_path: Path) -> None:
    shop.seconds_a_batch = 60.0
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli", "import", str(SAMPLE), "--address", shop.address),
        cwd=PROJECT,
        env={**os.environ, "ZOCO_HOME": str(tmp_path), "ZOCO_ADMIN_EMAIL": EMAIL, "ZOCO_ADMIN_PASSWORD": PASSWORD},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        while not shop.at_once:  # noqa: ASYNC110 - the servicer runs in another task and has no event to give
            await asyncio.sleep(0.01)
    process.send_signal(2)
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (130, b"")
    assert b"Stopped. What was imported stays" in output


@pytest.mark.parametrize(
    ("address", "host", "tls"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080", False),
        ("http://localhost:8080", "localhost:8080", False),
        ("https://localhost:8443", "localhost:8443", True),
        ("[::1]:8080", "[::1]:8080", False),
        ("shop.example:443", "shop.example:443", True),
        ("https://shop.example", "shop.example:443", True),
    ],
)
def test_an_address_is_spoken_to_in_the_clear_on_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, host: str, tls: bool
) -> None:
    monkeypatch.setenv("ZOCO_ADMIN_EMAIL", EMAIL)
    monkeypatch.setenv("ZOCO_ADMIN_PASSWORD", PASSWORD)
    target = find_target(LocalSettings(home=tmp_path), Home(tmp_path), address, None)
    assert (target.address, target.tls) == (host, tls)
    assert PASSWORD not in repr(target)


@pytest.mark.parametrize(
    "address", ["http://shop.example:80", "shop.example", "ftp://shop.example:21", "::", "x:99999", ""]
)
def test_an_address_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    monkeypatch.setenv("ZOCO_ADMIN_EMAIL", EMAIL)
    monkeypatch.setenv("ZOCO_ADMIN_PASSWORD", PASSWORD)
    with pytest.raises(Failure, match=r"is no address|does not travel"):
        find_target(LocalSettings(home=tmp_path), Home(tmp_path), address, None)


def test_the_password_of_this_machine_is_not_shown_to_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ZOCO_ADMIN_EMAIL", raising=False)
    monkeypatch.delenv("ZOCO_ADMIN_PASSWORD", raising=False)
    home = Home(tmp_path)
    home.credentials_file.write_text('{"adminEmail": "a@zoco.local", "adminPassword": "local"}')
    settings = LocalSettings(home=tmp_path)
    assert find_target(settings, home, "127.0.0.1:8080", None).password == "local"
    with pytest.raises(Failure, match="ZOCO_ADMIN_PASSWORD"):
        find_target(settings, home, "shop.example:443", None)
