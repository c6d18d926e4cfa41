"""The contracts of earlier revisions, out of git: what a change is compared with, and what its commits say of it."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler.protos import DESCRIPTORS

COMMITTED: Final = f"generated/{DESCRIPTORS}"
"""Where each revision has its contracts, compiled."""


@dataclass(frozen=True)
class Baseline:
    """The contract that clients rely on.

    Attributes:
        revision: the commit it was read from.
        image: its serialized descriptor set.
    """

    revision: str
    image: bytes


def find_baseline(root: Path, image: bytes) -> Baseline | None:
    """Find the contract to compare with: the newest that differs from the present one and that somebody may rely on.

    That is the last release. As long as there is none, it is what main has (for a branch: had where the branch left
    it), and on main itself the state before the last change: so a change is examined before its commit and in it, and
    on a fresh clone of it too.

    Args:
        root: the project directory, a git checkout.
        image: the present contracts.

    Returns:
        The baseline; None if no earlier contract is known.
    """
    revisions = _git(root, "tag", "--merged=HEAD", "--sort=-creatordate", "--list", "v*")
    if not revisions:
        main = _git(root, "merge-base", "HEAD", "origin/main") or _git(root, "merge-base", "HEAD", "main") or "HEAD"
        revisions = _git(root, "rev-list", main, "--", COMMITTED)
    meaning = _without_comments(image)
    for revision in (revisions or "").split():
        earlier = image_at(root, revision)
        if earlier and _without_comments(earlier) != meaning:
            return Baseline(revision, earlier)
    return None


def image_at(root: Path, revision: str) -> bytes | None:
    """Give the contracts of a revision; None if there is no such revision, or it has none."""
    return _git_bytes(root, "show", f"{revision}:{COMMITTED}")


def trailers_since(root: Path, baseline: Baseline, trailer: str) -> Sequence[str]:
    """Give the values of a trailer in the messages of all commits after the baseline."""
    log = _git(root, "log", f"--format=%(trailers:key={trailer},valueonly)", f"{baseline.revision}..HEAD") or ""
    return [line for line in log.splitlines() if line.strip()]


def _without_comments(image: bytes) -> bytes:
    descriptors = FileDescriptorSet.FromString(image)
    for file in descriptors.file:
        file.ClearField("source_code_info")
    return descriptors.SerializeToString(deterministic=True)


def _git(root: Path, *arguments: str) -> str | None:
    output = _git_bytes(root, *arguments)
    return output.decode().strip() if output is not None else None


def _git_bytes(root: Path, *arguments: str) -> bytes | None:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None
