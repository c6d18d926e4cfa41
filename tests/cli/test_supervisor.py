"""The supervisor over real processes: a tiny program that dies, hangs or sulks on request."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from cli.failures import Unhealthy
from cli.local.home import Home
from cli.local.logs import rotate
from cli.local.ports import Ports
from cli.local.probes import HttpHealth
from cli.local.process import ProcessSpec
from cli.local.runfile import read_run_state
from cli.local.settings import PROJECT
from cli.local.spawning import ExecSpawner, Program
from cli.local.supervisor import ProcessReport, Supervisor
from tests.cli.checkout import lives, until
from tests.ports import free_port

WORKLOAD = Path(__file__).with_name("workload.py")
PORTS = Ports(1, 2, 3, 4, {}, {}, 5, 6, 7)


def tiny(
    home: Home,
    name: str,
    *,
    stop_seconds: float = 5.0,
    start_seconds: float = 20.0,
    unhealthy_seconds: float | None = None,
) -> ProcessSpec:
    port = free_port()
    return ProcessSpec(
        name=name,
        program=Program((sys.executable, str(WORKLOAD), str(port), str(home.root), name)),
        log=home.log(name),
        probe=HttpHealth(port, "/healthz"),
        port=port,
        start_seconds=start_seconds,
        stop_seconds=stop_seconds,
        probe_seconds=0.05,
        unhealthy_seconds=unhealthy_seconds,
    )


@pytest.fixture
async def supervisor(home: Home) -> AsyncIterator[Supervisor]:
    result = Supervisor(home.run_file, PORTS, None, ExecSpawner())
    yield result
    await result.drain()


def row(supervisor: Supervisor, name: str) -> ProcessReport:
    return next(report for report in supervisor.report() if report.process == name)


async def test_start_returns_when_every_process_is_healthy(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "one"), tiny(home, "two")])
    assert [report.state for report in supervisor.report()] == ["healthy", "healthy"]


async def test_a_killed_process_is_restarted_and_status_says_so(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "one")])
    first = row(supervisor, "one").pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: row(supervisor, "one").state == "restarting", "it is seen dead")
    assert "killed by SIGKILL; attempt 1 in 0." in row(supervisor, "one").reason
    await until(lambda: row(supervisor, "one").state == "healthy", "it is back")
    after = row(supervisor, "one")
    assert (after.restarts, after.last_exit) == (1, "killed by SIGKILL")
    assert after.pid != first


async def test_a_process_that_keeps_dying_waits_twice_as_long_each_time(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "one")])
    (home.root / "one.dies").touch()
    os.kill(row(supervisor, "one").pid or 0, signal.SIGKILL)
    await until(lambda: "attempt 2 in" in row(supervisor, "one").reason, "it died again")
    assert "exit code 1; attempt 2 in 1.0 s" in row(supervisor, "one").reason.replace("0.9 s", "1.0 s")
    (home.root / "one.dies").unlink()
    await until(lambda: row(supervisor, "one").state == "healthy", "it recovers by itself")


async def test_a_process_that_dies_at_start_fails_with_its_last_log_lines(home: Home, supervisor: Supervisor) -> None:
    (home.root / "one.dies").touch()
    with pytest.raises(Unhealthy, match=r"one dies at start \(exit code 1\)") as caught:
        await supervisor.start([tiny(home, "one")])
    assert "the setting COLOUR is missing" in caught.value.details[-1]


async def test_a_process_that_never_gets_healthy_fails_with_the_reason(home: Home, supervisor: Supervisor) -> None:
    (home.root / "one.sick").touch()
    with pytest.raises(Unhealthy, match=r"one did not become healthy within 2 s \(/healthz: 503\)"):
        await supervisor.start([tiny(home, "one", start_seconds=2.0)])


async def test_a_process_that_turns_sick_is_shown_so_and_not_killed(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "one")])
    pid = row(supervisor, "one").pid
    (home.root / "one.sick").touch()
    await until(lambda: row(supervisor, "one").state == "unhealthy", "it is seen sick")
    assert row(supervisor, "one").reason == "/healthz: 503"
    (home.root / "one.sick").unlink()
    await until(lambda: row(supervisor, "one").state == "healthy", "it is seen well")
    assert row(supervisor, "one").pid == pid


async def test_one_that_does_not_get_well_by_itself_is_started_anew(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "one", unhealthy_seconds=0.3)])
    pid = row(supervisor, "one").pid
    (home.root / "one.sick").touch()
    await until(lambda: row(supervisor, "one").restarts == 1, "it is started anew")
    (home.root / "one.sick").unlink()
    await until(lambda: row(supervisor, "one").state == "healthy", "it is seen well")
    assert row(supervisor, "one").pid != pid
    assert row(supervisor, "one").last_exit == "exit code 0, for it stayed unhealthy"


async def test_one_that_is_started_anew_and_still_sick_is_started_once_more(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "one", start_seconds=2.0, unhealthy_seconds=0.3)])
    (home.root / "one.sick").touch()
    await until(lambda: row(supervisor, "one").restarts == 2, "it is started twice")
    (home.root / "one.sick").unlink()
    await until(lambda: row(supervisor, "one").state == "healthy", "it is seen well")


async def test_what_starts_last_stops_first(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "database")], [tiny(home, "broker")])
    await supervisor.start([tiny(home, "service")], [tiny(home, "edge")])
    await supervisor.drain()
    assert (home.root / "ended").read_text().split() == ["edge", "service", "broker", "database"]
    assert {report.state for report in supervisor.report()} == {"stopped"}


async def test_a_process_deaf_to_the_stop_signal_is_killed(home: Home, supervisor: Supervisor) -> None:
    (home.root / "one.deaf").touch()
    await supervisor.start([tiny(home, "one", stop_seconds=0.3)])
    pid = row(supervisor, "one").pid
    await supervisor.drain()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert row(supervisor, "one").last_exit == "killed by SIGKILL"


async def test_one_that_waits_for_its_restart_can_be_stopped(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "one")])
    (home.root / "one.dies").touch()
    os.kill(row(supervisor, "one").pid or 0, signal.SIGKILL)
    await until(lambda: "attempt 3" in row(supervisor, "one").reason, "it waits for two seconds")
    await supervisor.drain()
    assert row(supervisor, "one").state == "stopped"


async def test_every_start_is_recorded_for_the_next_run_to_clean_up(home: Home, supervisor: Supervisor) -> None:
    await supervisor.start([tiny(home, "one")])
    state = read_run_state(home.run_file)
    assert state is not None
    assert [(record.name, record.pid) for record in state.processes] == [("one", row(supervisor, "one").pid)]
    assert state.processes[0].process() is not None
    await supervisor.drain()
    after = read_run_state(home.run_file)
    assert after is not None
    assert after.processes == ()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start cleans up")
async def test_nothing_survives_a_killed_supervisor(home: Home) -> None:
    program = f"""
import asyncio
from cli.local.home import Home
from cli.local.spawning import ExecSpawner, Program
from cli.local.supervisor import Supervisor
from pathlib import Path
from tests.cli.test_supervisor import PORTS, tiny
async def main():
    home = Home(Path({str(home.root)!r}))
    supervisor = Supervisor(home.run_file, PORTS, None, ExecSpawner())
    await supervisor.start([tiny(home, "one"), tiny(home, "two")])
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"ready\n"
    state = read_run_state(home.run_file)
    assert state is not None
    parent.kill()
    await parent.wait()
    children = [record.pid for record in state.processes]
    assert len(children) == 2
    await until(lambda: not any(map(lives, children)), "its children are gone")


def test_a_log_that_grew_too_large_moves_aside(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    with log.open("ab") as writer:
        writer.write(b"old\n" * 100)
        writer.flush()
        assert not rotate(log, 1000)
        assert rotate(log, 100)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "one.log.1").read_bytes() == b"old\n" * 100
