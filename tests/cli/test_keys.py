"""`zoco keys`: what it shows, what it changes without a running shop, and what it refuses."""

import asyncio
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.failures import Failure
from cli.local.authority import read_trust
from cli.local.certificates import new_authority, new_leaf
from cli.local.keyring import retire_keys
from cli.local.pki import ensure_pki, files_of
from cli.local.projection import publish
from cli.local.renewal import keep_renewed, look_after
from cli.local.signing_keys import signing_keys
from mesh.credentials import read_material
from tests.cli.checkout import until

LEAD = timedelta(seconds=120)


@pytest.fixture
def pki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that has its identities and does not run."""
    directory = tmp_path / "pki"
    directory.mkdir()
    ensure_pki(directory, ["order", "operator"])
    monkeypatch.setenv("ZOCO_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return directory


def zoco(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
    return done.stdout


def shown() -> dict[str, dict[str, str]]:
    return {row["who"]: row for row in json.loads(zoco("keys", "--json"))}


def aged(directory: Path, **ages: timedelta) -> None:
    """Sets the age of signing keys by the order of their names in `ages`."""
    for name, age in ages.items():
        moment = (datetime.now(UTC) - age).timestamp()
        os.utime(directory / f"{name}.pem", (moment, moment))


def named(directory: Path, *names: str) -> Path:
    """Signing keys of these names, of which the first is an old one's copy."""
    original = next(directory.glob("*.pem"))
    content = original.read_bytes()
    original.unlink()
    for name in names:
        (directory / f"{name}.pem").write_bytes(content)
    return directory


def test_it_shows_who_has_which_key_from_whom_and_until_when(pki: Path) -> None:
    table = zoco("keys")

    assert [line.split()[0] for line in table.splitlines()] == ["kind", "authority", *["certificate"] * 3, "signing"]
    until = read_material(pki / "order").leaf.not_valid_after_utc
    line = next(line for line in table.splitlines() if line.split()[1] == "order")
    assert re.search(rf"[0-9a-f]{{16}} +{until:%Y-%m-%d %H:%M} UTC +valid", line)
    assert re.search(r" until retired +signs\n", table)


def test_it_shows_what_is_due_expired_or_foreign(pki: Path) -> None:
    now = datetime.now(UTC)
    ensure_pki(pki, ["late", "gone", "strange"])
    trust = pki / "ca.pem"
    ours = read_trust(pki)
    assert ours is not None
    for name, authority, age in (
        ("late", ours.issuer, 25),
        ("gone", ours.issuer, 40),
        ("strange", new_authority(now), 0),
    ):
        leaf = new_leaf(name, authority, now - timedelta(days=age))
        publish(pki / name, files_of(leaf, trust.read_bytes()))

    states = {who.rpartition("/")[2]: row["state"] for who, row in shown().items()}

    assert (states["late"], states["gone"], states["strange"], states["order"]) == (
        "due",
        "expired",
        "foreign",
        "valid",
    )


def test_certificates_and_their_authority_rotate_without_a_running_shop(pki: Path) -> None:
    before = shown()

    assert "New certificates: edge-tls, operator, order." in zoco("keys", "rotate", "leaf")
    assert "The authority is replaced." in zoco("keys", "rotate", "ca")

    after = shown()
    order = "spiffe://zoco.local/order"
    assert after[order]["issuer"] != before[order]["issuer"]
    assert sum(row["kind"] == "authority" for row in after.values()) == 1


def test_one_workload_is_rotated(pki: Path) -> None:
    before = read_material(pki / "operator").pem
    assert zoco("keys", "rotate", "leaf", "--workload", "order") == "New certificates: order.\n"
    assert read_material(pki / "operator").pem == before


def test_a_workload_goes_with_its_certificate_only(pki: Path) -> None:
    with pytest.raises(Failure, match="--workload goes with `zoco keys rotate leaf`"):
        zoco("keys", "rotate", "ca", "--workload", "order")


def test_a_home_without_keys_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOCO_HOME", str(tmp_path / "nothing"))
    with pytest.raises(Failure, match=r"There are no keys under .*nothing; `make up` makes them"):
        zoco("keys")


def test_a_new_signing_key_is_published_before_it_signs_and_a_second_call_makes_no_other(pki: Path) -> None:
    aged(named(pki / "tokens", "old"), old=timedelta(days=1))

    first = zoco("keys", "rotate", "signing")
    second = zoco("keys", "rotate", "signing")

    assert first.startswith("New signing key")
    assert second.startswith("A new signing key is there already")
    states = [row["state"] for row in json.loads(zoco("keys", "--json")) if row["kind"] == "signing key"]
    assert states[0] == "signs"
    assert states[1].startswith("signs from")


def test_a_signing_key_is_retired_when_the_last_token_it_signed_is_dead(pki: Path) -> None:
    tokens = named(pki / "tokens", "a", "b", "c")
    # b signs since two minutes after it came; what a signed then lives for fifteen minutes, and a minute is added.
    aged(tokens, a=timedelta(days=2), b=timedelta(minutes=19), c=timedelta(minutes=1))

    assert retire_keys(pki, LEAD, None, force=False).startswith("Retired a;")
    assert retire_keys(pki, LEAD, None, force=False).startswith("No signing key can be retired")
    assert [key.kid for key in signing_keys(tokens, LEAD)] == ["b", "c"]


@pytest.mark.parametrize("minutes", [16, 17])
def test_it_is_not_retired_a_minute_earlier(pki: Path, minutes: int) -> None:
    aged(named(pki / "tokens", "a", "b"), a=timedelta(days=2), b=timedelta(minutes=minutes))

    assert look_after(pki, ["order"], LEAD) == ""
    with pytest.raises(Failure, match=r"a has signed tokens that are still valid; retire it from .* on, or now with"):
        retire_keys(pki, LEAD, "a", force=False)
    assert retire_keys(pki, LEAD, "a", force=True).startswith("Retired a;")


def test_neither_the_only_key_nor_an_unknown_one_is_retired(pki: Path) -> None:
    named(pki / "tokens", "only")
    with pytest.raises(Failure, match="only is the only signing key"):
        retire_keys(pki, LEAD, "only", force=True)
    with pytest.raises(Failure, match=r"other is no signing key; those are only\."):
        retire_keys(pki, LEAD, "other", force=True)


def test_the_supervisor_retires_what_no_token_needs(pki: Path) -> None:
    aged(named(pki / "tokens", "a", "b"), a=timedelta(days=2), b=timedelta(days=1))

    assert look_after(pki, ["order"], LEAD) == "retired the signing keys a"


async def test_the_supervisor_says_once_what_it_cannot_renew_and_goes_on_when_it_can(pki: Path) -> None:
    key = (pki / "ca-key.pem").readlink()
    (pki / "ca-key.pem").unlink()
    said: list[str] = []

    looking = asyncio.create_task(keep_renewed(pki, ["order", "late"], LEAD, said.append, every=0.01))
    try:
        await until(lambda: bool(said), "it was said")
        (pki / "ca-key.pem").symlink_to(key)
        await until(lambda: len(said) > 1, "it went on")
    finally:
        looking.cancel()

    assert said[0].startswith("keys cannot be renewed: There is no certificate authority")
    assert said[1] == "renewed the certificates of late"
