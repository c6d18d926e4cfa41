"""`python -m mesh.compiler [--check]`: write `generated/`, or compare it with what would be written."""

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import CompileError, Emitter, Files
from mesh.compiler.protos import compile_protos
from mesh.compiler.tree import Difference, compare, write


def generate(root: Path) -> Files:
    """Make all of `generated/` in memory.

    Args:
        root: the project: holds `protos/` and the list of emitters in `pyproject.toml`.

    Returns:
        Every file that belongs under `generated/`.

    Raises:
        CompileError: a contract does not compile or breaks a rule over the whole of them (`mesh.compiler.lints`), an
            emitter refuses it, or two emitters claim one path.
    """
    compiled = compile_protos(root / "protos")
    files = dict(compiled.files)
    with tempfile.TemporaryDirectory(prefix="zoco-gen-") as fresh:
        write(Path(fresh), compiled.files)
        # Emitters must read options with the code of these very contracts, not with what was generated before.
        sys.path.insert(0, fresh)
        try:
            # First import, then parse: a custom option that is parsed before its module is imported stays an unknown
            # field.
            emitters = [(name, _load(name)) for name in _emitters(root)]
            # Imported here for the same reason as the emitters: lints read options.
            lints = import_module("mesh.compiler.lints")
            _refuse(lints.lint_project(root, FileDescriptorSet.FromString(compiled.descriptors)))
            for name, emit in emitters:
                emitted = emit(FileDescriptorSet.FromString(compiled.descriptors))
                if taken := sorted(files.keys() & emitted.keys()):
                    raise CompileError(f"{name} emits {', '.join(taken)}, which another emitter made already.")
                files.update(emitted)
            _refuse(lints.lint_emitted(files))
        finally:
            sys.path.remove(fresh)
    return files


def _refuse(findings: Sequence[object]) -> None:
    if findings:
        total = f"{len(findings)} finding{'s' if len(findings) > 1 else ''} in the contracts."
        raise CompileError("\n".join([*map(str, findings), total]))


def _emitters(root: Path) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    names: list[str] = project.get("tool", {}).get("zoco", {}).get("compiler", {}).get("emitters", [])
    return names


def _load(name: str) -> Emitter:
    module, _, function = name.partition(":")
    try:
        emit: Emitter = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise CompileError(f"pyproject.toml names the emitter {name}, which cannot be loaded: {error}.") from error
    return emit


def main() -> int:
    """Run the compiler.

    Returns:
        The exit code: 1 if a contract is wrong, or if `--check` found `generated/` to differ.
    """
    parser = argparse.ArgumentParser(prog="python -m mesh.compiler", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    check: bool = parser.parse_args().check
    root = Path(__file__).resolve().parents[2]
    generated = root / "generated"
    try:
        files = generate(root)
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    differences = compare(generated, files)
    if check:
        return _report(differences, len(files))
    write(generated, files)
    changed = f"{len(differences)} changed" if differences else "nothing changed"
    print(f"generated/: {len(files)} files, {changed}")
    return 0


def _report(differences: list[Difference], total: int) -> int:
    if not differences:
        print(f"generated/: {total} files, all as the contracts say")
        return 0
    for difference in differences:
        print(f"generated/{difference.path} is {difference.kind}", file=sys.stderr)
    print(f"{len(differences)} files under generated/ differ from the contracts: run `make gen`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
