"""Rules for every test: random data prints its seed, and continuous integration skips nothing."""

import faulthandler
import os
import random
import secrets
from collections.abc import Generator
from typing import Final

import pytest

pytest_plugins = ["tests.fixtures.identities", "tests.fixtures.logs", "tests.fixtures.servers", "tests.fixtures.shop"]

SEED_VARIABLE: Final = "ZOCO_TEST_SEED"
SEED: Final = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[SEED] = int(os.environ.get(SEED_VARIABLE) or secrets.randbits(32))
    # What hypothesis makes up, too, unless its own option says otherwise. Its plugin reads the option after this.
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(config.stash[SEED])


def pytest_report_header(config: pytest.Config) -> str:
    return f"random data: {SEED_VARIABLE}={config.stash[SEED]}"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Give random data that depends on the seed and the test's name alone, not on which tests run before it."""
    return random.Random(f"{request.config.stash[SEED]}:{request.node.nodeid}")


@pytest.fixture
def takes_minutes() -> None:
    """For a test that is long on purpose: after a minute pytest would print where it is, as of one that hangs."""
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _refuse_skip(report, call.excinfo and call.excinfo.value)
    if report.failed and "rng" in getattr(item, "fixturenames", ()):
        report.sections.append(("random data", f"{SEED_VARIABLE}={item.config.stash[SEED]} repeats it"))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _refuse_skip(report, report.longrepr)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport, reason: object) -> None:
    """Turn a skip into a failure where CI=true: everything a test needs has been installed there."""
    if os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and CI=true allows no skip: {reason}"
