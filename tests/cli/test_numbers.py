"""ZOCO_TUNING: edge, sidecars and services of a shop run on the same numbers, and a bad file is one sentence."""

import json
from pathlib import Path

import pytest
import yaml

from cli.failures import Failure
from cli.local import catalog
from cli.local.credentials import credentials, passwords
from cli.local.edge import edge_process
from cli.local.home import Home
from cli.local.numbers import read_tuning
from cli.local.ports import plan, slots
from cli.local.postgres import Database
from cli.local.settings import LocalSettings
from cli.local.shop import Shop
from cli.local.sidecars import sidecar_processes
from mesh.tuning import TUNING
from tests.cli.checkout import Checkout
from tests.ports import free_edge_port


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file with other numbers."""
    content = yaml.safe_load(TUNING.read_text())
    content["breakers"]["max_requests"] = 4711
    content["profiles"]["dev"]["tiers"]["create_order"]["requests"] = 4712
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def settings(monkeypatch: pytest.MonkeyPatch, path: Path) -> LocalSettings:
    for name, value in (("ZOCO_TUNING", str(path)), ("ZOCO_EDGE_PORT", str(free_edge_port())), ("MESH", "envoy")):
        monkeypatch.setenv(name, value)
    return LocalSettings()


def planned(home: Home, given: LocalSettings) -> Shop:
    places = slots(catalog.workloads(), {})
    return Shop(
        settings=given,
        home=home,
        ports=plan(given, places, None, database=True, broker=True),
        places=places,
        services=["order"],
        credentials=credentials(home),
        secrets=passwords(home, ["order"]),
        database=Database("postgresql://nobody@127.0.0.1:1/postgres"),
        nats_url=None,
        tuning=read_tuning(given),
    )


def test_edge_sidecars_and_services_have_one_tuning(monkeypatch: pytest.MonkeyPatch, home: Home, own: Path) -> None:
    shop = planned(home, settings(monkeypatch, own))

    edge_process(shop)
    sidecar_processes(shop)

    edge = (home.config / "edge.yaml").read_text()
    assert "max_tokens: 4712" in edge
    assert "max_requests: 4711" in edge
    sidecar = json.dumps(json.loads((home.config / "order.sidecar" / "envoy.json").read_text()))
    assert '"max_requests": 4711' in sidecar
    assert {each.program.environment["ZOCO_TUNING"] for each in shop.processes()} == {str(own)}


def test_a_relative_path_is_one_for_every_process(monkeypatch: pytest.MonkeyPatch, own: Path) -> None:
    monkeypatch.chdir(own.parent)
    assert settings(monkeypatch, Path(own.name)).tuning == own


def test_without_it_the_committed_numbers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOCO_TUNING", "")
    assert LocalSettings().tuning == TUNING


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_requests: 4711", "max_requests: many", "breakers.max_requests: 'many' is wrong: .*integer"),
        ("create_order:", "make_order:", "profiles.dev.tiers.create_order: is missing; a contract names this tier"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, own: Path, old: str, new: str, said: str
) -> None:
    own.write_text(own.read_text().replace(old, new))
    with pytest.raises(Failure, match=rf"^The tuning cannot be used: {own}: {said}\.$"):
        read_tuning(settings(monkeypatch, own))


def test_a_file_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"^ZOCO_TUNING cannot be used: .*/none\.yaml: No such file or directory\.$"):
        read_tuning(settings(monkeypatch, tmp_path / "none.yaml"))


def test_up_says_it_before_anything_is_started(tmp_path: Path, own: Path) -> None:
    own.write_text(own.read_text().replace("cache:", "cash:"))
    checkout = Checkout(Home(tmp_path / "zoco"), free_edge_port())

    up = checkout.zoco("up", "--detach", ZOCO_TUNING=str(own))

    assert up.returncode == 1
    assert up.stderr.splitlines()[-1].startswith("zoco: The tuning cannot be used: ")
    assert "Traceback" not in up.stderr
    assert not checkout.home.run_file.exists()
