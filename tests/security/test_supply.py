"""security.md, "supply": what comes from elsewhere is pinned, known and licensed; no secret lies in the tree.

Whether a pinned version has a known hole is asked of a service on the network (docs/security.md says how), not here.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.security.bill_of_materials import LISTED, LOCKS, ROOT, installed, licence, listing, read_lock


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_with_hashes_and_no_index_is_named(lock: Path) -> None:
    pins = read_lock(lock)

    assert pins
    assert not [pin.name for pin in pins if not pin.hashes]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for pin in pins for each in pin.hashes)
    assert "://" not in lock.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "lock", [each for each in LOCKS if each.name in {"runtime.txt", "dev.txt"}], ids=lambda p: p.name
)
def test_what_is_installed_is_what_the_lock_names(lock: Path) -> None:
    wrong = []
    for pin in read_lock(lock):
        if pin.applies:
            package = installed(pin.name)
            if package is None or package.version != pin.version:
                wrong.append(f"{pin.name}=={pin.version}: installed is {package and package.version}")

    assert not wrong


def test_the_bill_of_materials_is_what_is_installed() -> None:
    assert LISTED.read_text(encoding="utf-8") == listing(), "run python -m tests.security.bill_of_materials"


def test_every_licence_is_known_and_lets_the_shop_be_used() -> None:
    for pin in read_lock(ROOT / "requirements" / "runtime.txt"):
        package = installed(pin.name)
        if pin.applies and package is not None:
            said = licence(package)
            assert said, f"{pin.name} does not say its licence"
            assert not re.search(r"\bAGPL|(?<![L])GPL|SSPL|BUSL|Commons Clause|Proprietary", said), (
                f"{pin.name}: {said}"
            )


SECRETS = {
    "private key": rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "cloud key": rb"\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b",
    "forge token": rb"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bglpat-[A-Za-z0-9_-]{20}\b",
    "chat token": rb"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "payment key": rb"\b[rs]k_live_[0-9A-Za-z]{10,}|\bwhsec_[0-9A-Za-z]{24,}",
    "signed token": rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
    "password in an address": rb"\b(?:postgresql|postgres|nats|amqp|redis|smtp|https?)://[^\s/:@\"'{}<>]+:[A-Za-z0-9+_-]{16,}@",
}
_FOUND = {name: re.compile(pattern) for name, pattern in SECRETS.items()}


def scan(content: bytes) -> list[str]:
    """The kinds of secret that are in a file."""
    return [name for name, pattern in _FOUND.items() if pattern.search(content)]


def test_no_secret_lies_in_the_tree() -> None:
    found = {path.relative_to(ROOT).as_posix(): kinds for path in _tree() if (kinds := scan(path.read_bytes()))}

    assert not found


@pytest.mark.parametrize(
    ("kind", "planted"),
    [
        ("private key", "-----BEGIN EC " + "PRIVATE KEY-----"),
        ("cloud key", "AKIA" + "ABCDEFGHIJKLMNOP"),
        ("forge token", "ghp_" + "a" * 36),
        ("payment key", "sk_live_" + "a" * 24),
        ("signed token", "eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 43),
        ("password in an address", "postgresql://order:" + "p" * 24 + "@db/order"),
    ],
)
def test_a_planted_secret_is_found(kind: str, planted: str) -> None:
    assert scan(f"x = {planted!r}\n".encode()) == [kind]


def _tree() -> list[Path]:
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name for name in listed.decode().split("\0") if name]
    else:
        skipped = {".venv", ".tools", ".zoco", ".cache", "__pycache__"}
        paths = [path for path in ROOT.rglob("*") if not skipped & set(path.relative_to(ROOT).parts)]
    return [path for path in paths if path.is_file()]
