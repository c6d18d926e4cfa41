"""`python -m mesh.compiler.buf lint|breaking`: buf's verdict on the contracts, from the image protoc makes of them."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import CompileError
from mesh.compiler.history import Baseline, find_baseline, trailers_since
from mesh.compiler.protos import describe, executable

TRAILER: Final = "Contract-Break"
"""A commit that breaks the contract on purpose says so: `Contract-Break: why clients can live with it`."""


def lint(root: Path) -> int:
    """Hold the contracts against the STANDARD rules of buf.yaml.

    Args:
        root: the project directory.

    Returns:
        How many files were looked at; findings go to standard error as `FILE:LINE:COLUMN:TEXT`.

    Raises:
        CompileError: there are findings.
    """
    image = describe(root / "protos")
    with tempfile.TemporaryDirectory(prefix="zoco-buf-") as scratch:
        _buf(root, "lint", _image(scratch, "new", image))
    return _contracts(image)


def breaking(root: Path) -> Baseline | None:
    """Compare the contracts with those that clients rely on.

    Args:
        root: the project directory, a git checkout.

    Returns:
        What they were compared with; None if no earlier contract is known.

    Raises:
        CompileError: a client of the earlier contract would break, and no commit since says that this is meant.
    """
    image = describe(root / "protos")
    baseline = find_baseline(root, image)
    if baseline is None:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="zoco-buf-") as scratch:
            against = _image(scratch, "old", baseline.image)
            _buf(root, "breaking", _image(scratch, "new", image), "--against", str(against))
    except CompileError as error:
        if reasons := trailers_since(root, baseline, TRAILER):
            print(f"{error}\nmeant: {'; '.join(reasons)}", file=sys.stderr)
            return baseline
        raise CompileError(
            f"{error}\nThis breaks clients of {baseline.revision[:12]}; see {TRAILER} in CONTRIBUTING.md."
        ) from error
    return baseline


def _contracts(image: bytes) -> int:
    return sum(file.name.startswith("zoco/") for file in FileDescriptorSet.FromString(image).file)


def _image(directory: str, name: str, content: bytes) -> Path:
    # The suffix tells buf the format.
    path = Path(directory) / f"{name}.binpb"
    path.write_bytes(content)
    return path


def _buf(root: Path, *arguments: str | Path) -> None:
    # --path: an image says nothing about which of its files are imports, so buf would examine google/ and buf/ as well.
    command = [executable("buf"), *arguments, "--config", str(root / "buf.yaml"), "--path", "zoco"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompileError((done.stdout + done.stderr).strip())


def main() -> int:
    """Run one of the two checks.

    Returns:
        The exit code: 1 if buf has findings.
    """
    parser = argparse.ArgumentParser(prog="python -m mesh.compiler.buf", description=__doc__)
    parser.add_argument("check", choices=["lint", "breaking"])
    check: str = parser.parse_args().check
    root = Path(__file__).resolve().parents[2]
    try:
        if check == "lint":
            print(f"buf lint: {lint(root)} contracts, 0 findings")
        elif baseline := breaking(root):
            print(f"buf breaking: nothing breaks clients of {baseline.revision[:12]}")
        else:
            print("buf breaking: there is no earlier contract in the history to break")
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
