"""Looks through log files for what must never stand there (I11)."""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

from mesh.audit import Finding, Invariant
from mesh.audit.secrets import SHAPES


def examine_logs(directory: Path, secrets: Sequence[bytes]) -> Finding:
    """Return what of a secret stands in the log files of `directory`, by file and line; `checked` is bytes."""
    wrong: list[str] = []
    size = 0
    for path in sorted(directory.glob("*.log*")):
        if not path.stat().st_size:  # an empty file cannot be mapped
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            size += len(content)
            for place, what in sorted(_found(content, secrets)):
                line = content[:place].count(b"\n") + 1
                wrong.append(f"{path.name}:{line}: {what}")
    return Finding.of(Invariant.NO_LEAK_OF_SECRETS, size, wrong)


def _found(content: mmap.mmap, secrets: Sequence[bytes]) -> Iterator[tuple[int, str]]:
    for name, (_, shape) in SHAPES.items():
        for match in shape.finditer(content):
            yield match.start(), name
    for secret in secrets:
        place = content.find(secret)
        if place >= 0:
            yield place, "something that was told in confidence"
