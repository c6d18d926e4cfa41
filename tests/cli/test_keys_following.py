"""A rotation of the authority asks each running server whether it has followed, and goes on when all have."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from cli.failures import Failure
from cli.local import following
from cli.local.authority import Phase, read_trust
from cli.local.following import Followers
from cli.local.home import Home
from cli.local.pki import ensure_pki, read_leaf
from cli.local.rotation import rotate_authority
from mesh.credentials import read_material, server_credentials
from tests.mesh.tls import authority_of, raw_server_credentials, server
from tests.ports import free_port


@dataclass(frozen=True)
class Listening:
    """What `run.json` says."""

    services: Mapping[str, int]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FOLLOWED_SECONDS", 0.0)
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 1.0)


def running(monkeypatch: pytest.MonkeyPatch, **addresses: str) -> None:
    ports = {name: int(address.rpartition(":")[2]) for name, address in addresses.items()}
    monkeypatch.setattr(following, "ports", lambda _: Listening(ports))


async def rotate(home: Home) -> list[str]:
    said: list[str] = []
    await asyncio.to_thread(rotate_authority, home.pki, Followers(home).settled, said.append)
    return said


async def test_servers_that_follow_let_it_go_on(home: Home, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    ensure_pki(home.pki, ["order", "product"])
    async with (
        server(server_credentials(home.pki / "order")) as order,
        server(server_credentials(home.pki / "product")) as product,
    ):
        running(monkeypatch, order=order, product=product)
        assert len(await rotate(home)) == 4


async def test_a_server_that_does_not_follow_stops_it_where_it_is_and_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    ensure_pki(home.pki, ["order"])
    leaf = read_leaf(home.pki / "order")
    assert leaf is not None
    async with server(raw_server_credentials(leaf, authority_of(home.pki))) as order:
        running(monkeypatch, order=order)
        with pytest.raises(Failure, match="order does not follow: it refuses a certificate of the new authority"):
            await rotate(home)

    trust = read_trust(home.pki)
    assert trust is not None
    assert trust.phase is Phase.INTRODUCED


async def test_a_process_that_is_down_is_not_waited_for(
    home: Home, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    ensure_pki(home.pki, ["order"])
    running(monkeypatch, order=f"127.0.0.1:{free_port()}")
    assert len(await rotate(home)) == 4


async def test_clients_get_their_time_at_each_of_the_two_steps(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_pki(home.pki, ["order"])
    running(monkeypatch)
    monkeypatch.setattr(following, "FOLLOWED_SECONDS", 0.3)
    begun = time.monotonic()
    await rotate(home)
    assert time.monotonic() - begun >= 0.6


async def test_what_asks_leaves_nothing_behind(home: Home, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    ensure_pki(home.pki, ["order"])
    before = sorted(path.name for path in home.pki.iterdir() if path.is_dir() and not path.name.startswith("..v"))
    async with server(server_credentials(home.pki / "order")) as order:
        running(monkeypatch, order=order)
        await rotate(home)
    after = sorted(path.name for path in home.pki.iterdir() if path.is_dir() and not path.name.startswith("..v"))
    assert after == before
    read_material(home.pki / "order")
