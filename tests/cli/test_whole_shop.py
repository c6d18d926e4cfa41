"""The whole shop as `zoco up --detach` starts it, and the first order as a person pastes it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import httpx
import psutil
import pytest

from cli.local.home import Home
from mesh.policy import load_policy
from tests.cli.checkout import Checkout, lives, until_now
from tests.ports import free_edge_port


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Checkout, str]]:
    """A running shop and what `zoco up` printed."""
    result = Checkout(Home(tmp_path_factory.mktemp("shop") / "zoco"), free_edge_port(), services="")
    up = result.zoco("up", "--detach")
    try:
        assert up.returncode == 0, up.stderr
        yield result, up.stdout
    finally:
        assert result.zoco("down").returncode == 0


def processes(checkout: Checkout) -> dict[str, dict[str, object]]:
    shown = json.loads(checkout.zoco("status", "--json").stdout)
    return {row["process"]: row for row in shown["processes"]}


def first_order(printed: str) -> str:
    """The lines to paste: from `SHOP=` to the empty line."""
    return "SHOP=" + printed.partition("\nSHOP=")[2].partition("\n\n")[0]


def paste(lines: str) -> dict[str, object]:
    """Run the lines as a shell does; return the last JSON document that they print."""
    done = subprocess.run(["bash"], input=lines, capture_output=True, text=True, timeout=60, check=True)
    documents, decoder, text = [], json.JSONDecoder(), done.stdout
    while text.strip():
        document, end = decoder.raw_decode(text.strip())
        documents.append(document)
        text = text.strip()[end:]
    return dict(documents[-1])


def test_every_process_is_healthy(shop: tuple[Checkout, str]) -> None:
    checkout, _ = shop
    rows = processes(checkout)
    assert [*rows][:2] == ["postgres", "nats"]
    assert [*rows][2:9] == ["user", "product", "inventory", "order", "payment", "notification", "analytics"]
    assert [*rows][9:] == ["portal", "edge", "audit"]
    assert {row["state"] for row in rows.values()} == {"healthy"}


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux knows of batches")
def test_services_run_in_batches(shop: tuple[Checkout, str]) -> None:
    rows = processes(shop[0])
    for name in load_policy().workloads:
        pid = int(str(rows[name]["pid"]))
        policies = set()
        for thread in psutil.Process(pid).threads():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                policies.add(os.sched_getscheduler(int(thread.id)))
        assert policies == {os.SCHED_BATCH}, name


def test_the_first_order_works_as_it_is_printed(shop: tuple[Checkout, str]) -> None:
    order = paste(first_order(shop[1]))
    assert order["state"] == "CONFIRMED", order


def test_the_first_start_loads_the_sample_catalog(shop: tuple[Checkout, str]) -> None:
    checkout, printed = shop
    assert "sample catalog" in printed
    answer = httpx.get(f"http://127.0.0.1:{checkout.edge_port}/v1/products", params={"pageSize": 1})
    assert answer.json()["totalSize"] >= 500


def test_https_shows_a_certificate_of_the_development_authority(shop: tuple[Checkout, str]) -> None:
    checkout, printed = shop
    port = printed.partition("https://127.0.0.1:")[2].split()[0]
    curl = ["curl", "--silent", "--fail", "--cacert", str(checkout.home.pki / "ca.pem")]
    done = subprocess.run(
        [*curl, f"https://localhost:{port}/v1/products?pageSize=1"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["products"]


@pytest.mark.parametrize("name", ["payment", "edge", "nats", "postgres"])
def test_a_killed_process_comes_back_and_the_shop_sells_again(shop: tuple[Checkout, str], name: str) -> None:
    checkout, printed = shop
    before = processes(checkout)[name]
    os.kill(int(str(before["pid"])), signal.SIGKILL)
    until_now(lambda: processes(checkout)[name]["restarts"] == int(str(before["restarts"])) + 1, "it is restarted")
    until_now(lambda: checkout.zoco("status").returncode == 0, "all are healthy again")
    # The edge asks the services itself, every second: it may find them well a moment after the supervisor.
    until_now(lambda: paste(first_order(printed)).get("state") == "CONFIRMED", "it sells again")


def test_the_admins_password_stands_where_the_table_says(shop: tuple[Checkout, str]) -> None:
    checkout, printed = shop
    assert str(checkout.home.credentials_file) in printed.replace("\n", "").replace(" ", "")
    known = json.loads(checkout.home.credentials_file.read_text())
    answer = httpx.post(
        f"http://127.0.0.1:{checkout.edge_port}/v1/auth:login",
        json={"email": known["adminEmail"], "password": known["adminPassword"]},
    )
    assert answer.json()["user"]["role"] == "ADMIN"


def test_no_secret_stands_in_a_log_or_on_a_command_line(shop: tuple[Checkout, str]) -> None:
    checkout, _ = shop
    secrets = json.loads(checkout.home.secrets_file.read_text())
    hidden = [
        secrets["postgres"],
        secrets["nats"],
        *secrets["databases"].values(),
        json.loads(checkout.home.credentials_file.read_text())["adminPassword"],
    ]
    logs = {path.name: path.read_text(errors="replace") for path in checkout.home.logs.iterdir()}
    lines = {
        name: " ".join(psutil.Process(int(str(row["pid"]))).cmdline()) for name, row in processes(checkout).items()
    }
    assert [name for name, text in {**logs, **lines}.items() if any(secret in text for secret in hidden)] == []


def test_down_ends_every_process(shop: tuple[Checkout, str]) -> None:
    checkout, _ = shop
    running = [int(str(row["pid"])) for row in processes(checkout).values()]
    assert checkout.zoco("down").stdout == "Stopped.\n"
    assert not any(map(lives, running))
