"""Git histories of small projects whose contracts change from commit to commit."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from mesh.compiler.history import COMMITTED
from mesh.compiler.protos import describe

Commit = Callable[[str, str], None]
"""Commits a project with other contracts: what they say, and the message."""


def git(project: Path, *arguments: str) -> None:
    """Runs git as somebody."""
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=project, check=True, capture_output=True)


def commit_contracts(project: Path, message: str) -> None:
    """Compiles what stands in `protos/` and commits everything."""
    image = project / COMMITTED
    image.parent.mkdir(exist_ok=True)
    image.write_bytes(describe(project / "protos"))
    git(project, "add", ".")
    git(project, "commit", "--allow-empty", "-m", message)
