"""The `generated/` directory against what should be in it: compare, write, and drop what no emitter makes any more."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mesh.compiler import Files


@dataclass(frozen=True, order=True)
class Difference:
    """One file that is not as the contracts say.

    Attributes:
        path: relative to the directory, with slashes.
        kind: how it is; completes the sentence "PATH is ...".
    """

    path: str
    kind: Literal["missing", "stale", "different"]


def compare(directory: Path, files: Files) -> list[Difference]:
    """Compare a directory with the files that should be there.

    Args:
        directory: what there is; need not exist.
        files: what should be.

    Returns:
        The differences, by path; a file nobody asked for is stale.
    """
    present = _present(directory)
    differences = [Difference(path, "stale") for path in present - files.keys()]
    for path, content in files.items():
        if path not in present:
            differences.append(Difference(path, "missing"))
        elif (directory / path).read_bytes() != content:
            differences.append(Difference(path, "different"))
    return sorted(differences)


def write(directory: Path, files: Files) -> None:
    """Make a directory hold exactly these files.

    Files that are right already keep their modification time, so that nothing is reloaded or rebuilt without need.

    Args:
        directory: made if missing.
        files: what it is to hold; everything else in it is removed.

    Raises:
        OSError: the disk is full or the directory cannot be written.
    """
    for difference in compare(directory, files):
        path = directory / difference.path
        if difference.kind == "stale":
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[difference.path])
    for parent in sorted((path for path in directory.rglob("*") if path.is_dir()), reverse=True):
        if parent.name != "__pycache__" and not any(parent.iterdir()):
            parent.rmdir()


def _present(directory: Path) -> set[str]:
    # Python leaves __pycache__ beside the modules it imports from here.
    return {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
