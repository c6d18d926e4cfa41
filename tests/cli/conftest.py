"""Homes for the tests of the command line."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local.home import Home
from tests.cli.checkout import Checkout
from tests.ports import free_edge_port


@pytest.fixture
def home(tmp_path: Path) -> Home:
    result = Home(tmp_path / "zoco")
    result.create()
    return result


@pytest.fixture(scope="session")
def started_before(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that ran once: making a database cluster takes a second, copying one does not."""
    result = Checkout(Home(tmp_path_factory.mktemp("before") / "zoco"), free_edge_port())
    up = result.zoco("up", "--detach")
    assert up.returncode == 0, up.stderr
    assert result.zoco("down").returncode == 0
    for file in (result.home.run_file, result.home.lock_file):
        file.unlink()
    return result.home


def copied(home: Home, root: Path) -> Checkout:
    subprocess.run(["cp", "-a", str(home.root), str(root)], check=True)
    return Checkout(Home(root), free_edge_port())


@pytest.fixture
def checkout(started_before: Home, tmp_path: Path) -> Iterator[Checkout]:
    result = copied(started_before, tmp_path / "a")
    yield result
    result.zoco("down")


@pytest.fixture
def other_checkout(started_before: Home, tmp_path: Path) -> Iterator[Checkout]:
    result = copied(started_before, tmp_path / "b")
    yield result
    result.zoco("down")


@pytest.fixture
def new_checkout(tmp_path: Path) -> Iterator[Checkout]:
    result = Checkout(Home(tmp_path / "new"), free_edge_port())
    yield result
    result.zoco("down")
