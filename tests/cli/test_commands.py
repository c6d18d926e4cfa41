"""The commands as a person types them: real processes, database and broker only."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cli.local.home import Home
from cli.local.lock import holder
from cli.local.settings import PROJECT
from tests.cli.checkout import Checkout, lives, until_now


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a failure says: exit code 1 and, last on stderr, one sentence."""
    assert done.returncode == 1, done
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("zoco: ")
    assert "Traceback" not in done.stderr
    return last.removeprefix("zoco: ")


def pids(home: Home) -> list[int]:
    return [process["pid"] for process in json.loads(home.run_file.read_text())["processes"]]


def test_up_status_down(new_checkout: Checkout) -> None:
    up = new_checkout.zoco("up", "--detach")
    assert up.returncode == 0, up.stderr
    assert [line.split()[0] for line in up.stdout.splitlines() if line.startswith("ok ")] == ["ok"] * 5
    assert f"http://127.0.0.1:{new_checkout.edge_port}/v1" in up.stdout
    status = new_checkout.zoco("status", "--json")
    assert status.returncode == 0
    shown = json.loads(status.stdout)
    assert [(row["process"], row["state"]) for row in shown["processes"]] == [
        ("postgres", "healthy"),
        ("nats", "healthy"),
    ]
    assert all(row["pid"] and row["port"] for row in shown["processes"])
    assert "healthy" in new_checkout.zoco("status").stdout
    running = pids(new_checkout.home)
    assert new_checkout.zoco("down").stdout == "Stopped.\n"
    assert not any(map(lives, running))
    assert sentence(new_checkout.zoco("status")) == "Nothing runs here; `make up` starts it."
    assert new_checkout.zoco("down").stdout == "Nothing was running.\n"


def test_up_twice_is_harmless_and_status_tells_the_memory(checkout: Checkout) -> None:
    checkout.zoco("up", "--detach")
    before = pids(checkout.home)
    for form in (("up", "--detach"), ("up",)):
        again = checkout.zoco(*form)
        assert again.returncode == 0
        assert "It already runs" in again.stdout
        assert f"http://127.0.0.1:{checkout.edge_port}/v1" in again.stdout
    assert pids(checkout.home) == before
    if Path("/proc/self/smaps_rollup").exists():  # only Linux tells
        shown = json.loads(checkout.zoco("status", "--json", "--memory").stdout)
        assert all(row["pss_bytes"] > 1_000_000 for row in shown["processes"])
        assert shown["supervisor_pss_bytes"] > 1_000_000
        assert "whole system" in checkout.zoco("status", "--memory").stdout


def test_two_at_the_same_moment_start_it_once(checkout: Checkout) -> None:
    both = [checkout.start("up", "--detach") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert json.loads(checkout.zoco("status", "--json").stdout)["phase"] == "running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_stops_everything(checkout: Checkout, number: signal.Signals) -> None:
    with checkout.start("up") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C stops it" in line:
                break
        running = pids(checkout.home)
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stdout.read().splitlines() == ["Stopping: edge, services, broker, database.", "Stopped."]
    assert not any(map(lives, running))


def test_ctrl_c_during_the_start_stops_what_was_started(new_checkout: Checkout) -> None:
    with new_checkout.start("up") as process:
        until_now((new_checkout.home.data / "postgres.unfinished").exists, "the cluster is being made")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert holder(new_checkout.home.lock_file) is None
    assert new_checkout.zoco("up", "--detach").returncode == 0


def test_ctrl_c_on_a_terminal_reaches_us_and_not_our_children(checkout: Checkout) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(PROJECT)
        os.execve(sys.executable, [sys.executable, "-m", "cli", "up"], checkout.environment())  # noqa: S606 - no shell
    seen = b""
    while b"Ctrl-C stops it" not in seen:
        seen += os.read(terminal, 4096)
    assert "✓ PostgreSQL and NATS".encode() in seen.replace(b"\x1b[32m", b"").replace(b"\x1b[0m", b"")
    os.write(terminal, b"\x03")
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError:  # the terminal's other end is closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log = checkout.home.log("postgres").read_text()
    assert b"Stopped." in seen
    assert "database system is shut down" in log


def test_a_killed_supervisor_does_not_block_the_next_start(checkout: Checkout) -> None:
    checkout.zoco("up", "--detach")
    supervisor, children = holder(checkout.home.lock_file), pids(checkout.home)
    assert supervisor
    os.kill(supervisor, signal.SIGKILL)
    again = checkout.zoco("up", "--detach")
    assert again.returncode == 0, again.stderr
    assert not set(children) & set(pids(checkout.home))
    assert json.loads(checkout.zoco("status", "--json").stdout)["phase"] == "running"


def test_down_ends_what_a_killed_supervisor_left(checkout: Checkout) -> None:
    """A child that is frozen when its supervisor dies does not hear of it, and stays until somebody ends it."""
    checkout.zoco("up", "--detach")
    supervisor, children = holder(checkout.home.lock_file), pids(checkout.home)
    assert supervisor
    os.kill(children[0], signal.SIGSTOP)  # PostgreSQL's signal is SIGINT, which a frozen process does not hear
    os.kill(supervisor, signal.SIGKILL)
    until_now(lambda: not lives(supervisor), "the supervisor is gone")
    assert "ended what it left: postgres" in checkout.zoco("down").stdout
    assert not any(map(lives, children))


def test_a_taken_port_is_one_sentence_with_the_way_out(checkout: Checkout) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", checkout.edge_port))
        taken.listen()
        for form in (("up", "--detach"), ("up",)):
            said = sentence(checkout.zoco(*form))
            assert said == (
                f"Port {checkout.edge_port} for the edge is taken by {psutil.Process().name()} (pid {os.getpid()}); "
                "set ZOCO_EDGE_PORT to move ours."
            )
    assert holder(checkout.home.lock_file) is None


def test_a_lock_and_a_socket_left_by_the_dead_are_taken_over_silently(checkout: Checkout) -> None:
    checkout.home.create()
    checkout.home.lock_file.write_text("999999\n")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(checkout.home.control_socket))
    up = checkout.zoco("up", "--detach")
    assert up.returncode == 0
    assert "999999" not in up.stdout + up.stderr


def test_a_damaged_run_file_says_how_to_fix_it_and_that_fixes_it(checkout: Checkout) -> None:
    checkout.home.run_file.write_text('{"version": 1')
    said = sentence(checkout.zoco("up", "--detach"))
    assert said.startswith(f"{checkout.home.run_file} is damaged (")
    assert "`make reset` deletes the local state" in said
    assert checkout.zoco("reset").returncode == 0
    assert not checkout.home.root.exists()
    assert checkout.zoco("up", "--detach").returncode == 0
    running = pids(checkout.home)
    assert checkout.zoco("reset").returncode == 0
    assert not any(map(lives, running))


def test_two_checkouts_run_side_by_side(checkout: Checkout, other_checkout: Checkout) -> None:
    for each in (checkout, other_checkout):
        assert each.zoco("up", "--detach").returncode == 0
    first, second = (json.loads(each.home.run_file.read_text()) for each in (checkout, other_checkout))
    assert not set(pids(checkout.home)) & set(pids(other_checkout.home))
    assert not {first["ports"][name] for name in ("postgres", "nats")} & {
        second["ports"][name] for name in ("postgres", "nats")
    }
    checkout.zoco("down")
    assert other_checkout.zoco("status").returncode == 0


def test_a_database_and_a_broker_elsewhere_are_not_started(checkout: Checkout, other_checkout: Checkout) -> None:
    checkout.zoco("up", "--detach")
    state = json.loads(checkout.home.run_file.read_text())["ports"]
    secrets = json.loads(checkout.home.secrets_file.read_text())
    up = other_checkout.zoco(
        "up",
        "--detach",
        DATABASE_URL=f"postgresql://postgres:{secrets['postgres']}@127.0.0.1:{state['postgres']}/postgres",
        NATS_URL=f"nats://zoco:{secrets['nats']}@127.0.0.1:{state['nats']}",
    )
    assert up.returncode == 0, up.stderr
    assert "as DATABASE_URL says" in up.stdout
    assert pids(other_checkout.home) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("migrate",), "Nothing runs here; `make up` starts it."),
        (("import", "pyproject.toml"), "Nothing runs here; `make up` starts it."),
    ],
)
def test_what_needs_a_running_system_says_so(checkout: Checkout, arguments: tuple[str, ...], said: str) -> None:
    assert sentence(checkout.zoco(*arguments)) == said


def test_a_setting_that_cannot_be_used_is_one_sentence(checkout: Checkout) -> None:
    assert sentence(checkout.zoco("up", ZOCO_EDGE_PORT="eighty")).startswith("ZOCO_EDGE_PORT cannot be used: ")


def test_an_old_python_is_told_what_is_needed() -> None:
    """Only the version is false here; that the file can be read by an old Python is for the linter to see."""
    program = (
        "import sys, runpy; sys.version_info = (3, 9, 7, 'final', 0); runpy.run_module('cli', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Zoco needs Python 3.11 or newer, and this is 3.9.\n")
