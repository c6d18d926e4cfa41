"""The local state on disk: what is secret, what is damaged, what is stale."""

import base64
import json
import os
import re
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cli.failures import CorruptState, Failure
from cli.local.credentials import credentials, passwords
from cli.local.home import Home, write_private
from cli.local.leftovers import end_leftovers
from cli.local.lock import HomeLock, holder
from cli.local.ports import Ports
from cli.local.runfile import Recorded, RunState, read_run_state, write_run_state
from cli.local.settings import LocalSettings, read_settings

PORTS = Ports(1, 2, 3, 4, {"user": 5}, {"user": 6}, 7, 8, 9)


def test_credentials_are_made_once_and_for_their_owner_only(home: Home) -> None:
    made = credentials(home)
    assert credentials(home) == made
    assert json.loads(home.credentials_file.read_text()) == {
        "adminEmail": made.admin_email,
        "adminPassword": made.admin_password,
    }
    assert stat.S_IMODE(home.credentials_file.stat().st_mode) == 0o600
    assert len(made.admin_password) >= 24


def test_a_new_workload_gets_a_password_and_the_others_keep_theirs(home: Home) -> None:
    first = passwords(home, ["order"])
    second = passwords(home, ["order", "loyalty"])
    assert second.databases["order"] == first.databases["order"]
    assert (second.postgres, second.nats) == (first.postgres, first.nats)
    assert passwords(home, []) == second
    assert stat.S_IMODE(home.secrets_file.stat().st_mode) == 0o600


def test_a_home_from_before_there_were_broker_accounts_gets_them(home: Home) -> None:
    old = {"postgres": "p", "nats": "n", "databases": {"order": "o"}}
    home.secrets_file.write_text(json.dumps(old))
    upgraded = passwords(home, ["order", "user"])
    assert (upgraded.postgres, upgraded.nats, upgraded.databases["order"]) == ("p", "n", "o")
    assert upgraded.brokers.keys() == {"order", "user"}
    assert len({*upgraded.brokers.values(), *upgraded.databases.values()}) == 4
    assert passwords(home, ["order", "user"]) == upgraded


def test_a_home_from_before_there_were_webhooks_gets_a_key_for_their_secrets_and_keeps_it(home: Home) -> None:
    home.secrets_file.write_text(json.dumps({"postgres": "p", "nats": "n", "databases": {}, "brokers": {}}))
    upgraded = passwords(home, [])
    assert len(base64.b64decode(upgraded.webhooks)) == 32
    assert passwords(home, []) == upgraded


def test_passwords_without_any_workload_are_kept_too(home: Home) -> None:
    assert passwords(home, []) == passwords(home, [])


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"adminEmail": "a@b.c"}', '{"adminEmail": "", "adminPassword": ""}']
)
def test_damaged_credentials_are_named_with_the_remedy(home: Home, content: str) -> None:
    home.credentials_file.write_text(content)
    with pytest.raises(CorruptState, match=r"credentials\.json is damaged .* `make reset`"):
        credentials(home)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": 2}', '{"version": 1, "ports": {}}', "\x00"])
def test_a_damaged_run_file_is_named_with_the_remedy(home: Home, content: str) -> None:
    home.run_file.write_text(content)
    with pytest.raises(CorruptState, match=r"run\.json is damaged .* `make reset`"):
        read_run_state(home.run_file)


def test_a_run_file_is_read_as_it_was_written(home: Home) -> None:
    state = RunState(PORTS, Recorded("supervisor", 1, 2.5, "python"), (Recorded("nats", 3, 4.5, "nats-server"),))
    write_run_state(home.run_file, state)
    assert read_run_state(home.run_file) == state


def test_a_lock_left_by_a_dead_process_is_taken_over(home: Home) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    home.lock_file.write_bytes(dead.stdout)
    assert holder(home.lock_file) is None
    lock = HomeLock.take(home.lock_file)
    assert lock is not None
    assert holder(home.lock_file) == os.getpid()
    lock.release()


def test_a_lock_is_held_once(home: Home) -> None:
    lock = HomeLock.take(home.lock_file)
    assert lock is not None
    assert HomeLock.take(home.lock_file) is None
    lock.release()
    assert holder(home.lock_file) is None


def test_leftovers_are_ended_even_when_they_are_deaf_or_frozen() -> None:
    frozen = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    frozen.send_signal(signal.SIGSTOP)
    record = Recorded.of("order", frozen.pid, sys.executable)
    assert record is not None
    assert end_leftovers(RunState(PORTS, None, (record,))) == ["order"]
    assert not psutil.pid_exists(frozen.pid)
    frozen.wait()


def test_a_process_that_only_has_the_same_pid_is_left_alone() -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        record = Recorded.of("order", stranger.pid, sys.executable)
        assert record is not None
        earlier, another = replace(record, started=record.started - 60), replace(record, executable="/opt/nats-server")
        assert end_leftovers(RunState(PORTS, None, (earlier, another))) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "old")
    write_private(path, "new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_reset_leaves_alone_what_is_not_ours(home: Home) -> None:
    (home.root / "thesis.tex").write_text("mine")
    (home.data / "postgres").mkdir()
    home.delete()
    assert [file.name for file in home.root.iterdir()] == ["thesis.tex"]


def test_a_long_path_still_gets_a_socket() -> None:
    assert len(os.fsencode(Home(Path("/") / ("deep/" * 40)).control_socket)) < 100
    assert Home(Path("/a")).control_socket != Home(Path("/" + "b" * 120)).control_socket


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("ZOCO_EDGE_PORT", "eighty", "ZOCO_EDGE_PORT cannot be used: "),
        ("ZOCO_EDGE_PORT", "70000", "ZOCO_EDGE_PORT cannot be used: "),
        ("ZOCO_REPLICAS", "product", "ZOCO_REPLICAS cannot be used: .*must read like product=2"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL cannot be used: "),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: .*http://"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "OTEL_TRACES_SAMPLER_ARG cannot be used: "),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Failure, match=sentence):
        read_settings()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        *((each, each) for each in ("*", "null", "shop.example", "ftp://shop.example", "https://Shop.example")),
        *((f"https://shop.example{end}",) * 2 for end in ("/", "/a", "?a", ":443", ":0x", ":99999", "..")),
        *((f"http://{host}",) * 2 for host in ("", "a b", "u@a", "localhost:80", "[::0:1]", "[x]", '"a"')),
        ("https://shop.example,,https://b.example", ""),
        ("https://shop.example, none", "none"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(monkeypatch: pytest.MonkeyPatch, value: str, named: str) -> None:
    monkeypatch.setenv("ZOCO_CORS_ORIGINS", value)
    with pytest.raises(Failure, match=re.escape(f"ZOCO_CORS_ORIGINS cannot be used: {named!r} is no origin: ")):
        read_settings()


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ("http://localhost:3000",)),
        (" none ", ()),
        ("https://shop.example", ("https://shop.example",)),
        (
            "https://a-b.example:8443, http://[::1]:5173,http://127.0.0.1:1",
            ("https://a-b.example:8443", "http://[::1]:5173", "http://127.0.0.1:1"),
        ),
    ],
)
def test_origins_that_may_call_are_listed_by_commas(
    monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ZOCO_CORS_ORIGINS", value)
    assert read_settings().cors_origins == origins


def test_settings_are_read_from_their_standard_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://x:y@db/postgres")
    monkeypatch.setenv("NATS_URL", "")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("ZOCO_REPLICAS", "product=2, order=3")
    given = LocalSettings()
    assert given.database_url is not None
    assert given.database_url.get_secret_value() == "postgresql://x:y@db/postgres"
    assert (given.nats_url, given.log_level, given.replicas) == (None, "debug", {"product": 2, "order": 3})
