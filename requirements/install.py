"""`python3 requirements/install.py runtime|dev`: make `.venv` and fill it from the lock, with hashes.

It runs before there is an environment, on whatever python3 there is: so it takes nothing but the standard library, and
its syntax is understood by Python 3.6, which then gets a sentence instead of a traceback.
"""

import fcntl
import hashlib
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "install.log"

UNREACHABLE = (
    "name resolution|Name or service not known|nodename nor servname|NewConnectionError|ConnectTimeout|ReadTimeout"
    "|ProxyError|SSLError|Connection (?:refused|reset|broken|aborted)|Network is unreachable|Max retries exceeded"
)
# What the system or pip says -> what a person can do about it; the first that is found counts.
SENTENCES = (
    ("No space left on device|Disk quota exceeded", "The disk is full: the environment needs about 1 GB."),
    (
        "DO NOT MATCH THE HASHES",
        "A package is not the one that the lock names, so nothing was installed; see .venv/install.log.",
    ),
    (
        UNREACHABLE,
        "pip cannot reach its package index: see .venv/install.log, the network and PIP_INDEX_URL.",
    ),
    (
        r"No matching distribution found for (\S+)",
        "pip finds no {} for this platform and Python; see .venv/install.log.",
    ),
    ("Permission denied|Read-only file system", "This user may not write into .venv: change its owner or remove it."),
    (
        "ensurepip|No module named venv",
        "Python comes without venv here: install it (Debian, Ubuntu: apt install python3-venv).",
    ),
)


class InstallError(Exception):
    """The environment cannot be made; the text is one sentence that says what to do."""


def main(lock: str) -> int:
    """Make the environment, unless it is there already.

    Args:
        lock: `runtime` or `dev`; dev holds all of runtime.

    Returns:
        The exit code; 1 comes with one sentence on standard error.
    """
    if sys.version_info < OLDEST:
        print(
            f"Zoco needs Python {OLDEST[0]}.{OLDEST[1]} or newer; {sys.executable} is {sys.version.split()[0]}.",
            file=sys.stderr,
        )
        return 1
    directory = os.open(str(ROOT), os.O_RDONLY)
    try:
        # `make up` and `make test` typed at once must not install into each other.
        fcntl.flock(directory, fcntl.LOCK_EX)
        if _installed(lock) != _wanted(lock):
            _create()
            _install(lock)
        _link()
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(_sentence(str(error)), file=sys.stderr)
        return 1
    finally:
        os.close(directory)
    return 0


def _wanted(lock: str) -> str:
    return hashlib.sha256((ROOT / "requirements" / f"{lock}.txt").read_bytes()).hexdigest()


def _stamp(lock: str) -> Path:
    return VENV / f"{lock}.sha256"


def _installed(lock: str) -> str:
    return _stamp(lock).read_text() if _stamp(lock).exists() and _usable() else ""


def _usable() -> bool:
    """Tell whether `.venv` can run: it breaks when its Python is removed, and when the checkout is moved."""
    return PYTHON.exists() and (VENV / "location").exists() and (VENV / "location").read_text() == str(VENV)


def _create() -> None:
    if _usable():
        return
    print(f"Making .venv with Python {sys.version.split()[0]}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        raise InstallError(_sentence(done.stdout.decode(errors="replace")))
    (VENV / "location").write_text(str(VENV))


def _install(lock: str) -> None:
    """Install exactly what the lock names, from wheels: nobody needs a compiler."""
    requirements = ROOT / "requirements" / f"{lock}.txt"
    total = len(re.findall(r"^\S+==", requirements.read_text(), re.MULTILINE))
    print(f"Installing {total} packages from requirements/{lock}.txt (some hundred MB the first time)", flush=True)
    started = time.monotonic()
    command = [str(PYTHON), "-m", "pip", "install", "--require-hashes", "--only-binary=:all:", "--no-deps"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--requirement", str(requirements)]
    live = sys.stdout.isatty()
    with LOG.open("w") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as pip:
        seen = 0
        for raw in pip.stdout or ():
            line = raw.decode(errors="replace")
            log.write(line)
            package = re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line)
            if live and (package or line.startswith("Installing")):
                seen += package is not None
                print(
                    f"\r  {seen:3} of {total}  {package.group(1) if package else 'unpacking':40.40}", end="", flush=True
                )
    if live:
        print("\r" + " " * 60 + "\r", end="")
    if pip.returncode != 0:
        raise InstallError(_sentence(LOG.read_text()))
    for contained in ("runtime", "dev") if lock == "dev" else ("runtime",):
        _stamp(contained).write_text(_wanted(contained))
    print(f"Environment ready after {time.monotonic() - started:.0f} s", flush=True)


def _link() -> None:
    """Put the checkout onto the environment's path, and the console scripts of pyproject.toml into its `bin`."""
    site = next((VENV / "lib").glob("python3*")) / "site-packages"
    _write(site / "zoco.pth", f"{ROOT}\n{ROOT / 'generated'}\n", 0o644)
    scripts = re.search(r"^\[project\.scripts\]\n((?:.+\n)*)", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for name, module, function in re.findall(r'(\S+) = "(\S+):(\S+)"', scripts.group(1) if scripts else ""):
        # By the shell, because a #! line takes neither a blank nor a long path.
        code = f'import sys; sys.argv[0] = "{name}"; from {module} import {function}; sys.exit({function}())'
        run = f'exec {shlex.quote(str(PYTHON))} -P -c {shlex.quote(code)} "$@"'
        _write(VENV / "bin" / name, f"#!/bin/sh\n{run}\n", 0o755)


def _write(path: Path, content: str, mode: int) -> None:
    if not path.exists() or path.read_text() != content:
        path.write_text(content)
        path.chmod(mode)


def _sentence(words: str) -> str:
    for pattern, sentence in SENTENCES:
        found = re.search(pattern, words)
        if found:
            return sentence.format(*found.groups())
    last = (words.strip().splitlines() or ["no reason was given"])[-1]
    return f"The environment cannot be made: {last}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
