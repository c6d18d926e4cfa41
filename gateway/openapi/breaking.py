"""`python -m gateway.openapi.breaking`: whether a REST client of the earlier contracts would break, as oasdiff sees it.

Both documents are made by the code of today, from the earlier contracts and from the present ones: what differs then
is what the contracts say, and not how the document is written. buf compares the wire; this compares the REST surface
with its constraints.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.openapi.document import document
from mesh.compiler import CompileError
from mesh.compiler.buf import TRAILER
from mesh.compiler.history import Baseline, find_baseline, trailers_since
from mesh.policy import DESCRIPTORS

ROOT: Final = Path(__file__).parents[2]
OASDIFF: Final = ROOT / ".tools" / "bin" / "oasdiff"


def breaking(root: Path) -> Baseline | None:
    """Compare the present document with that of the contracts that clients rely on.

    Args:
        root: the project directory, a git checkout.

    Returns:
        What it was compared with; None if no earlier contract is known.

    Raises:
        CompileError: a client would break, and no commit since says that this is meant; or oasdiff is not there.
    """
    image = DESCRIPTORS.read_bytes()
    baseline = find_baseline(root, image)
    if baseline is None:
        return None
    findings = compare(baseline.image, image)
    if not findings:
        return baseline
    if reasons := trailers_since(root, baseline, TRAILER):
        print(f"{findings}\nmeant: {'; '.join(reasons)}", file=sys.stderr)
        return baseline
    raise CompileError(
        f"{findings}\nThis breaks REST clients of {baseline.revision[:12]}; see {TRAILER} in CONTRIBUTING.md."
    )


def compare(earlier: bytes, present: bytes) -> str:
    """Compare what two descriptor sets come to as documents.

    Returns:
        What would break a client, in oasdiff's words; empty if nothing would.

    Raises:
        CompileError: oasdiff is not there, or cannot read a document.
    """
    if not OASDIFF.exists():
        raise CompileError("oasdiff is not in .tools/bin: make tools")
    with tempfile.TemporaryDirectory(prefix="zoco-openapi-") as directory:
        paths = [
            _written(Path(directory) / name, content)
            for name, content in (("earlier.json", earlier), ("present.json", present))
        ]
        done = subprocess.run(
            [OASDIFF, "breaking", *paths, "--fail-on", "ERR"], capture_output=True, text=True, check=False
        )
    if done.returncode > 1:
        raise CompileError(done.stderr.strip())
    return done.stdout.strip() if done.returncode else ""


def _written(path: Path, descriptors: bytes) -> Path:
    path.write_text(json.dumps(document(FileDescriptorSet.FromString(descriptors))), encoding="utf-8")
    return path


def main() -> int:
    """Compare, and tell.

    Returns:
        The exit code: 1 if a client would break.
    """
    try:
        baseline = breaking(ROOT)
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    if baseline is None:
        print("oasdiff: there is no earlier contract in the history to break")
    else:
        print(f"oasdiff: nothing breaks REST clients of {baseline.revision[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
