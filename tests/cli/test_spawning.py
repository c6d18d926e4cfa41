"""A forked service is like an executed one: same module, environment, output, exit code, and no orphan."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cli.local.logs import open_log
from cli.local.settings import PROJECT
from cli.local.spawning import AdoptedChild, Child, ExecSpawner, ForkSpawner, Orphanage, Program, Spawner, adopt_orphans
from tests.cli.checkout import lives, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere everything is started by exec"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ForkSpawner]:
    spawner = ForkSpawner(os.environ, tmp_path_factory.mktemp("forks") / "forkserver.log")
    await spawner.open()
    yield spawner
    await spawner.close()
    adopt_orphans(yes=False)  # other tests wait for processes that are no children of theirs


def program(directory: Path, end: str) -> Program:
    environment = {**os.environ, "DIRECTORY": str(directory), "END": end, "COLOUR": "grün"}
    return Program((sys.executable, "-m", "tests.cli.forked"), environment)


async def started(spawner: Spawner, directory: Path, end: str) -> Child:
    log = open_log(directory / "log")
    try:
        return await spawner.spawn(program(directory, end), log)
    finally:
        os.close(log)


async def facts(directory: Path) -> dict[str, object]:
    await until((directory / "facts").exists, "it has written down what it is")
    return dict(json.loads((directory / "facts").read_text()))


async def test_a_fork_cannot_be_told_from_an_exec(forks: ForkSpawner, tmp_path: Path) -> None:
    seen = []
    for name, spawner in (("fork", forks), ("exec", ExecSpawner())):
        (tmp_path / name).mkdir()
        child = await started(spawner, tmp_path / name, "return")
        assert await child.wait() == 0
        found = await facts(tmp_path / name)
        assert found.pop("session") == child.pid
        assert found.pop("parent") == os.getpid()
        environment = found.pop("environment")
        assert isinstance(environment, dict)
        del environment["DIRECTORY"]
        seen.append((found, environment, (tmp_path / name / "log").read_text()))
    assert seen[0] == seen[1]
    assert seen[0][0]["command"] == [sys.executable, "-m", "tests.cli.forked"]
    assert seen[0][0]["directory"] == str(PROJECT)


async def test_it_is_forked_and_not_executed(forks: ForkSpawner, tmp_path: Path) -> None:
    child = await started(forks, tmp_path, "wait")
    assert isinstance(child, AdoptedChild)
    await facts(tmp_path)
    os.kill(child.pid, signal.SIGTERM)
    assert await child.wait() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("end", "code", "last"),
    [
        ("exit 3", 3, "to stdout"),
        ("message", 1, "a sentence about COLOUR"),
        ("raise", 1, "RuntimeError: nobody caught this"),
    ],
)
async def test_the_exit_code_and_the_last_words_are_those_of_an_exec(
    forks: ForkSpawner, tmp_path: Path, end: str, code: int, last: str
) -> None:
    child = await started(forks, tmp_path, end)
    assert await child.wait() == code
    assert last in (tmp_path / "log").read_text().splitlines()


async def test_without_its_fork_server_a_service_still_starts(tmp_path: Path) -> None:
    forks = ForkSpawner(os.environ, tmp_path / "forkserver.log")
    await forks.open()
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = await started(forks, tmp_path / "first", "wait")
    assert forks.pid is not None
    os.kill(forks.pid, signal.SIGKILL)
    await until(lambda: forks.pid is None, "the fork server is gone")
    second = await started(forks, tmp_path / "second", "return")
    assert not isinstance(second, AdoptedChild)
    assert await second.wait() == 0
    assert lives(first.pid), "its death must not take the services with it"
    os.kill(first.pid, signal.SIGKILL)
    assert await first.wait() == -signal.SIGKILL
    await forks.close()


async def test_what_is_no_module_of_ours_is_executed(forks: ForkSpawner, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    child = await forks.spawn(Program((sys.executable, "-c", "print('as ever')")), log)
    os.close(log)
    assert await child.wait() == 0
    assert (tmp_path / "log").read_text() == "as ever\n"


async def test_a_forked_child_dies_with_the_supervisor(tmp_path: Path) -> None:
    script = f"""
import asyncio, os
from pathlib import Path
from cli.local.spawning import ForkSpawner
from tests.cli.test_spawning import started
async def main():
    directory = Path({str(tmp_path)!r})
    spawner = ForkSpawner(os.environ, directory / "forkserver.log")
    await spawner.open()
    child = await started(spawner, directory, "wait")
    print(child.pid, spawner.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    children = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert len(children) == 2
    await facts(tmp_path)
    parent.kill()
    await parent.wait()
    await until(lambda: not any(map(lives, children)), "both are gone")


async def test_an_orphan_of_a_child_is_collected(forks: ForkSpawner, tmp_path: Path) -> None:
    """As PostgreSQL's processes become orphans when their postmaster is killed."""
    (tmp_path / "pid").touch()
    script = "import os, time\nif os.fork():\n  os._exit(0)\ntime.sleep(0.2)"
    log = open_log(tmp_path / "log")
    child = await forks.spawn(Program((sys.executable, "-c", script)), log)
    os.close(log)
    assert await child.wait() == 0
    orphanage = Orphanage()
    await until(lambda: orphanage.visit() == 1, "the orphan has ended and is collected")
