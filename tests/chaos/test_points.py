"""The list of crash points is that of the code: none is missing, none is made up, and each kills by its name alone."""

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from mesh.crashpoints import REACHED, VARIABLE
from mesh.settings import MeshSettings
from tests.chaos.points import ELSEWHERE, POINTS

ROOT = Path(__file__).parents[2]
AROUND = ("before_commit", "after_commit")

NOTHING_TO_OPEN = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); "
REACH = "from mesh.crashpoints import crashpoint; crashpoint('shop.till.opened'); print('went on')"


def test_every_point_of_the_list_stands_in_the_code_and_the_other_way_round() -> None:
    listed = POINTS.keys() | ELSEWHERE.keys()
    assert not POINTS.keys() & ELSEWHERE.keys()

    patterns = dict(_patterns())

    unlisted = {where for pattern, where in patterns.items() if not any(re.fullmatch(pattern, name) for name in listed)}
    assert not unlisted, f"points that stand in no list: {unlisted}"
    made_up = {name for name in listed if not any(re.fullmatch(pattern, name) for pattern in patterns)}
    assert not made_up, f"no code has these points: {made_up}"


def test_a_sentenced_process_dies_at_its_point_and_the_next_one_goes_on(tmp_path: Path) -> None:
    (tmp_path / "shop.till.opened").touch()

    first, second = _reach(tmp_path), _reach(tmp_path)

    assert first.returncode == -signal.SIGKILL
    assert second.stdout == "went on\n"
    assert [each.name for each in (tmp_path / REACHED).iterdir()] == ["shop.till.opened"]


def test_a_process_that_can_open_nothing_passes_its_points_as_any_other(tmp_path: Path) -> None:
    done = _reach(tmp_path, f"import mesh.crashpoints; {NOTHING_TO_OPEN}{REACH}")

    assert done.stdout == "went on\n", done.stderr


def test_an_unarmed_process_passes(tmp_path: Path) -> None:
    assert _reach(None).stdout == "went on\n"


def test_production_refuses_to_be_armed(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (tmp_path / name).touch()

    with pytest.raises(ValidationError, match=f"{VARIABLE}: must not be set in production"):
        MeshSettings.model_validate({"ZOCO_PKI_DIR": tmp_path, VARIABLE: tmp_path, "ZOCO_ENV": "production"})


def _reach(directory: Path | None, program: str = REACH) -> subprocess.CompletedProcess[str]:
    armed = {} if directory is None else {VARIABLE: str(directory)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **armed},
        capture_output=True,
        text=True,
        check=False,
    )


def _patterns() -> Iterator[tuple[str, str]]:
    """What the calls in the code can name, as patterns, and where they stand."""
    for room in ("mesh", "services"):
        for file in sorted((ROOT / room).rglob("*.py")):
            workload = file.relative_to(ROOT).parts[1] if room == "services" else None
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                where = f"{file.relative_to(ROOT)}:{node.lineno}"
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name == "crashpoint" and file.name not in {"database.py", "crashpoints.py"}:
                    yield _pattern(node.args[0]), where
                for named in (each.value for each in node.keywords if each.arg == "named"):
                    if isinstance(named, ast.Name):
                        continue  # handed on; whoever gives it is found
                    for how_far in AROUND:
                        yield rf"{workload or '[a-z]+'}\.{_pattern(named)}\.{how_far}", where


def _pattern(name: ast.expr) -> str:
    match name:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            return "".join(
                re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z_]+" for part in parts
            )
        case ast.Call():
            return "[a-z_]+"
        case _:
            raise AssertionError(f"a crash point is named by {ast.dump(name)}")
