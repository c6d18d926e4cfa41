"""Homes for the tests of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local.home import Home
from tests.cli.checkout import Checkout, free_edge_port


@pytest.fixture
def home(tmp_path: Path) -> Home:
    result = Home(tmp_path / "zoco")
    result.create()
    return result


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    result = Checkout(Home(tmp_path / "a"), free_edge_port())
    yield result
    result.zoco("down")


@pytest.fixture
def other_checkout(tmp_path: Path) -> Iterator[Checkout]:
    result = Checkout(Home(tmp_path / "b"), free_edge_port())
    yield result
    result.zoco("down")
